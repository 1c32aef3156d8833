"""The coefficients of ``gelu``, and its errors.

The CPU's (cpu/functions.inc) is a rational fit of erf(x / sqrt 2) / (2 x) in x^2. The GPU's (cuda/activations.cuh) is
a polynomial fit of log2 Phi(-t), t = |x|, whose error is relative to the result, also where that is nearly 0.

    python cpp_ext/cpu/fit_gelu.py

Linearized least squares, weighted anew in each round by the error of the round before (Lawson), which tends to the
fit whose largest error is smallest.
"""

from __future__ import annotations

from math import erf, erfc, log, sqrt

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.polynomial.chebyshev import chebvander

END, ABOVE_DEGREE, BELOW_DEGREE = 5.4, 5, 4  # of the CPU: where x is cut, and the degrees in x^2
POWER_END, POWER_DEGREE, POWER_CUT = 6.5, 6, 15.0  # of the GPU: end of the fit, degree in t, and where t is cut
ROUNDS = 300


def fit(end: float, above_degree: int, below_degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of numerator and denominator, lowest first, float32."""
    nodes = np.cos(np.linspace(0, np.pi, 4001))
    square = (nodes + 1) / 2 * end**2
    x = np.sqrt(np.maximum(square, 1e-12))
    wanted = np.array([erf(value / sqrt(2)) / 2 for value in x]) / x
    top, bottom = chebvander(nodes, above_degree), chebvander(nodes, below_degree)
    weight, divisor = np.ones_like(x), np.ones_like(x)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for _ in range(ROUNDS):
        rows = ((x + 0.05) * weight / divisor)[:, None]
        matrix = np.hstack([top * rows, -bottom[:, 1:] * wanted[:, None] * rows])
        found = np.linalg.lstsq(matrix, wanted * rows[:, 0], rcond=None)[0]
        above, below = found[: above_degree + 1], np.concatenate([[1.0], found[above_degree + 1 :]])
        error = np.abs(top @ above / (bottom @ below) - wanted) * x
        if best is None or error.max() < best[0]:
            best = (float(error.max()), above, below)
        divisor = np.abs(bottom @ below)
        weight = weight * np.sqrt(error / error.max() + 1e-2)
        weight /= weight.max()
    assert best is not None
    above, below = (
        Chebyshev(part, domain=[0, end**2]).convert(domain=[-1, 1], kind=Polynomial, window=[-1, 1]).coef
        for part in best[1:]
    )
    return (above / below[0]).astype(np.float32), (below / below[0]).astype(np.float32)


def fit_power() -> np.ndarray:
    """Return the coefficients of log2 Phi(-t), lowest first, float32.

    Weighted by the rounding of float16, which is absolute below its normal numbers, and of bfloat16 from there on.
    """
    nodes = np.cos(np.linspace(0, np.pi, 4001))
    t = (nodes + 1) / 2 * POWER_END
    share = np.array([erfc(value / sqrt(2)) / 2 for value in t])
    rounding = np.minimum(np.maximum(2.0**-11, 2.0**-25 / np.maximum(t * share, 1e-300)), 2.0**-8)
    rounding[t < 1] = 2.0**-11  # what is subnormal near 0 is the product, not Phi
    wanted, terms, weight = np.log2(share), chebvander(nodes, POWER_DEGREE), np.ones_like(t)
    best: tuple[float, np.ndarray] | None = None
    for _ in range(ROUNDS):
        rows = weight / rounding
        found = np.linalg.lstsq(terms * rows[:, None], wanted * rows, rcond=None)[0]
        error = np.abs(terms @ found - wanted) * log(2) / rounding
        if best is None or error.max() < best[0]:
            best = (float(error.max()), found)
        weight = weight * np.sqrt(error / error.max() + 1e-2)
        weight /= weight.max()
    assert best is not None
    return (
        Chebyshev(best[1], domain=[0, POWER_END])
        .convert(domain=[-1, 1], kind=Polynomial, window=[-1, 1])
        .coef.astype(np.float32)
    )


def polynomial(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the polynomial of coefficients, lowest first, by Horner's scheme in the precision of `x`."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def gelu(x: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return what the CPU computes, in its precision but for the fused steps."""
    kept = np.clip(x, np.float32(-END), np.float32(END))
    square = kept * kept
    return x * (np.float32(0.5) + kept * (polynomial(above, square) / polynomial(below, square)))


def gelu_by_power(x: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return what the GPU computes, in its precision but for the fused steps."""
    t = np.minimum(np.abs(x), np.float32(POWER_CUT))
    return np.maximum(x, np.float32(0)) - t * np.exp2(polynomial(power, t))


if __name__ == "__main__":
    points = np.linspace(-12, 12, 400_001).astype(np.float32)
    exact = np.array([value * erfc(-value / sqrt(2)) / 2 for value in points.astype(float)])
    above, below = fit(END, ABOVE_DEGREE, BELOW_DEGREE)
    power = fit_power()
    for name, coefficients in {"CPU above": above, "CPU below": below, "GPU": power}.items():
        print(name, [f"{value:.8g}" for value in coefficients])
    for name, found in {"CPU": gelu(points, above, below), "GPU": gelu_by_power(points, power)}.items():
        error = np.abs(found - exact)
        kept = (points > -4) & (points != 0)
        relative = (error[kept] / np.abs(exact[kept])).max()
        print(f"{name}: largest error for |x| <= 12: {error.max():.2g}, relative from -4 on: {relative:.2g}")
