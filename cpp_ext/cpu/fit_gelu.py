"""The coefficients of ``gelu``: a rational fit of erf(x / sqrt 2) / (2 x) in x^2, and its error.

The CPU's (cpu/functions.inc) has degrees 5 and 4, the GPU's (cuda/activations.cuh) 3 and 3, enough for halves.

    python cpp_ext/cpu/fit_gelu.py

Linearized least squares, weighted anew in each round by the error of the round before (Lawson), which tends to the
fit whose largest error is smallest.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.polynomial.chebyshev import chebvander

KERNELS = {"CPU": (5.4, 5, 4), "GPU": (4.7, 3, 3)}  # where x is cut, and the degrees in x^2
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


def gelu(x: np.ndarray, end: float, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return what the kernel computes, in its precision but for the fused steps."""
    kept = np.clip(x, np.float32(-end), np.float32(end))
    square = kept * kept
    parts = []
    for coefficients in (above, below):
        total = np.full_like(square, coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = total * square + coefficient
        parts.append(total)
    return x * (np.float32(0.5) + kept * (parts[0] / parts[1]))


if __name__ == "__main__":
    points = np.linspace(-12, 12, 400_001).astype(np.float32)
    exact = np.array([value * (0.5 + 0.5 * erf(value / sqrt(2))) for value in points.astype(float)])
    for name, (end, *degrees) in KERNELS.items():
        above, below = fit(end, *degrees)
        print(name, "above", [f"{value:.8g}" for value in above])
        print(name, "below", [f"{value:.8g}" for value in below])
        error = np.abs(gelu(points, end, above, below) - exact).max()
        print(f"{name}: largest error for |x| <= 12: {error:.2g}")
