"""Engines that give every token a row of logits: the same from both, alone and in company, in the order of the ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.encoded import Encoded
from liteft.errors import DeviceError
from liteft.form import ExportForm, Precision
from liteft.runtime.backends import Engine
from liteft.runtime.counters import Counters
from liteft.runtime.native_engine import NativeEngine
from liteft.runtime.onnx_engine import OnnxEngine
from liteft.runtime.scoring import run_encoded

OfTokens = Callable[..., Artifact]
FAMILIES = ["bert", "roberta", "distilbert", "electra-projected"]


@pytest.fixture(scope="module")
def of_tokens(tmp_path_factory: pytest.TempPathFactory) -> OfTokens:
    """A function that writes a tiny classifier of tokens as an artifact, once for the same arguments."""
    pytest.importorskip("torch", reason="what the native engine runs is exported with the extra 'train'")
    from tests.exporting.conftest import Workshop, write_unverified

    workshop = Workshop(tmp_path_factory.mktemp("tokens"))
    made: dict[tuple[str, str], Artifact] = {}

    def make(family: str = "bert", precision: Precision = "fp32") -> Artifact:
        key = family, precision
        if key not in made:
            loaded = workshop.loaded(family, "none", labels=9, paired=family == "bert")
            made[key] = write_unverified(loaded, workshop.root / f"artifact-{len(made)}", ExportForm(precision))
        return made[key]

    return make


def random_tokens(count: int, *, seed: int = 0) -> Encoded:
    """Return texts of 1 to 30 tokens."""
    generator = np.random.default_rng(seed)
    return Encoded.of([generator.integers(4, 200, length) for length in generator.integers(1, 31, count)])


def on_onnxruntime(artifact: Artifact) -> OnnxEngine:
    return OnnxEngine(artifact, device="cpu", threads=1)


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("fp16", 1e-4), ("int8", 0.1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_give_the_same_row_for_every_token(
    native: Path, of_tokens: OfTokens, family: str, precision: Precision, limit: float
) -> None:
    artifact, encoded = of_tokens(family, precision), random_tokens(40)
    ours, theirs = NativeEngine(artifact, threads=2), on_onnxruntime(artifact)
    found, wanted = ours.run(encoded), theirs.run(encoded)
    assert ours.per_token and theirs.per_token
    assert found.shape == wanted.shape == (len(encoded.ids), 9)
    assert found.dtype == wanted.dtype == np.float32
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=limit)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_company_and_threads_change_no_bit(native: Path, of_tokens: OfTokens, precision: str) -> None:
    artifact = of_tokens("bert", "int8" if precision == "int8" else "fp32")
    chosen = "bf16" if precision == "bf16" else None
    try:
        one, two = (NativeEngine(artifact, threads=threads, precision=chosen) for threads in (1, 2))
    except DeviceError as error:
        pytest.skip(error.message)
    encoded = random_tokens(30)
    together = one.run(encoded)
    np.testing.assert_array_equal(two.run(encoded), together)
    for number, text in enumerate(encoded):
        expected = together[encoded.offsets[number] : encoded.offsets[number + 1]]
        np.testing.assert_array_equal(one.run(text), expected)
        np.testing.assert_array_equal(two.run(text), expected)


@pytest.mark.parametrize("budget", [None, 1, 48])
@pytest.mark.parametrize("make", [on_onnxruntime, lambda artifact: NativeEngine(artifact, threads=1)])
def test_rows_of_tokens_come_back_in_the_order_of_their_texts(
    native: Path, of_tokens: OfTokens, make: Callable[[Artifact], Engine], budget: int | None
) -> None:
    engine, encoded, counters = make(of_tokens()), random_tokens(60, seed=3), Counters()
    found = run_encoded(encoded, engine=engine, counters=counters, special_tokens=0, token_budget=budget)
    np.testing.assert_allclose(found, np.concatenate([engine.run(text) for text in encoded]), atol=1e-5)
    one = run_encoded(encoded[7], engine=engine, counters=counters, special_tokens=0)
    np.testing.assert_allclose(one, found[encoded.offsets[7] : encoded.offsets[8]], atol=1e-5)
