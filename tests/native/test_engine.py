"""The native engine against transformers, on every family that it runs, and its own tests in C++."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the reference needs the extra 'train'")
import torch

from liteft.encoder.families import BUILT, family_of
from liteft.encoder.spec import POOLINGS
from liteft.exporting.weights import read_weights
from liteft.finetuning.model import TorchClassifier
from tests.exporting.conftest import POSITIONS, WORDS, Workshop, make_config
from tests.native.library import NativeClassifier

FAMILIES = [*BUILT, "minilm", "electra-projected"]


@pytest.fixture
def native(library: ctypes.CDLL) -> Iterator[list[NativeClassifier]]:
    """A list; what is put into it is freed afterwards."""
    made: list[NativeClassifier] = []
    yield made
    for classifier in made:
        classifier.close()


def reference(
    loaded: TorchClassifier, ids: list[list[int]], masks: list[list[int]], types: list[list[int]]
) -> np.ndarray:
    """Return transformers' logits of padded rows whose padding and hidden places hold real words.

    Logits of tokens are those of the texts' own, hidden ones included, text after text.
    """
    longest = max(len(text) for text in ids) + 3
    padded = np.full((len(ids), longest), 7, dtype=np.int64)
    if family_of(loaded.config.model_type).positions_from_padding:
        padded[:] = loaded.config.pad_token_id  # positions are counted over what is not padding
    mask, kinds = np.zeros_like(padded), np.zeros_like(padded)
    for row, (text, shown, kind) in enumerate(zip(ids, masks, types, strict=True)):
        padded[row, : len(text)], mask[row, : len(text)], kinds[row, : len(text)] = text, shown, kind
    feed = {"input_ids": torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}
    if loaded.config.model_type != "distilbert":
        feed["token_type_ids"] = torch.from_numpy(kinds)
    with torch.inference_mode():
        logits = loaded.model(**feed).logits.float().numpy()
    if logits.ndim == 2:
        return logits
    return np.concatenate([rows[: len(text)] for rows, text in zip(logits, ids, strict=True)])


def random_rows(count: int, *, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(4, WORDS, length).tolist() for length in generator.integers(1, 60, count)]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier], family: str, pooling: str
) -> None:
    loaded = workshop.loaded(family, pooling)
    ids = random_rows(19, seed=1)
    plain = [[1] * len(text) for text in ids]
    expected = reference(loaded, ids, plain, [[0] * len(text) for text in ids])
    for instructions in ("", "portable"):
        native.append(NativeClassifier(library, read_weights(loaded), threads=2, instructions=instructions))
        found = native[-1].run(ids)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert native[-1].rows() == sum(len(text) for text in ids)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu"])
def test_activations_are_those_of_transformers(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier], activation: str
) -> None:
    loaded = workshop.loaded("bert", "cls", hidden_act=activation)
    ids = random_rows(7, seed=8)
    expected = reference(loaded, ids, [[1] * len(text) for text in ids], [[0] * len(text) for text in ids])
    for instructions in ("", "portable"):
        native.append(NativeClassifier(library, read_weights(loaded), instructions=instructions))
        np.testing.assert_allclose(native[-1].run(ids), expected, atol=1e-4)


def test_pairs_have_two_types(workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier]) -> None:
    loaded = workshop.loaded("bert", paired=True)
    ids = random_rows(9, seed=2)
    types = [[0] * (len(text) // 2) + [1] * (len(text) - len(text) // 2) for text in ids]
    native.append(NativeClassifier(library, read_weights(loaded)))
    expected = reference(loaded, ids, [[1] * len(text) for text in ids], types)
    np.testing.assert_allclose(native[0].run(ids, types=types), expected, atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_hidden_tokens_are_not_attended_to_and_the_first_row_still_asks(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier], pooling: str
) -> None:
    loaded = workshop.loaded("bert", pooling)
    ids = [[*text, 5] for text in random_rows(12, seed=3)]
    generator = np.random.default_rng(4)
    masks = [[*(generator.random(len(text) - 1) < 0.7).astype(int).tolist(), 1] for text in ids]
    assert any(mask[0] == 0 for mask in masks)
    native.append(NativeClassifier(library, read_weights(loaded)))
    expected = reference(loaded, ids, masks, [[0] * len(text) for text in ids])
    np.testing.assert_allclose(native[0].run(ids, key_mask=masks), expected, atol=1e-4)


@pytest.mark.parametrize("width", [128, 312, 768, 1024])
def test_widths_from_narrow_to_large(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier], width: int
) -> None:
    changes = {"hidden_size": width, "num_attention_heads": 4 if width < 500 else width // 64, "num_hidden_layers": 2}
    loaded = workshop.loaded("bert", "cls", intermediate_size=2 * width, **changes)
    ids = random_rows(5, seed=5)
    native.append(NativeClassifier(library, read_weights(loaded), threads=2))
    expected = reference(loaded, ids, [[1] * len(text) for text in ids], [[0] * len(text) for text in ids])
    np.testing.assert_allclose(native[0].run(ids), expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("pooling", ["mean", "none"])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_coarser_precisions_stay_near(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier], precision: str, pooling: str
) -> None:
    loaded = workshop.loaded("minilm", pooling)
    weights = read_weights(loaded)
    ids = random_rows(40, seed=6)
    fine = NativeClassifier(library, weights)
    native.append(fine)
    exact = fine.run(ids)
    try:
        native.append(NativeClassifier(library, weights, precision=precision))
    except ValueError as error:
        pytest.skip(str(error))
    spread = np.abs(exact - exact.mean(axis=0)).mean()
    assert np.abs(native[-1].run(ids) - exact).mean() < 0.1 * spread


def test_what_does_not_fit_is_an_error_in_words(
    workshop: Workshop, library: ctypes.CDLL, native: list[NativeClassifier]
) -> None:
    native.append(NativeClassifier(library, read_weights(workshop.loaded("bert"))))
    with pytest.raises(ValueError, match=rf"id {WORDS} at token 1 is not below {WORDS}"):
        native[0].run([[5, WORDS]])
    with pytest.raises(ValueError, match="text 1 has no token"):
        native[0].run([[5], []])
    with pytest.raises(ValueError, match=f"text 0 has {POSITIONS + 1} tokens"):
        native[0].run([[5] * (POSITIONS + 1)])
    with pytest.raises(ValueError, match="text 0 has no token that may be attended to"):
        native[0].run([[5, 6]], key_mask=[[0, 0]])
    assert native[0].run([[5] * POSITIONS]).shape == (1, 5)
    with pytest.raises(ValueError, match="instructions 'mmx' are not offered"):
        NativeClassifier(library, read_weights(workshop.loaded("bert")), instructions="mmx")


def test_a_configuration_of_another_shape_is_an_error(workshop: Workshop, library: ctypes.CDLL) -> None:
    weights = read_weights(workshop.loaded("bert"))
    weights.tensors["layers.1.feed_forward.inner.bias"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"'layers.1.feed_forward.inner.bias' has shape \(1, 3\), and \(1, 128\)"):
        NativeClassifier(library, weights)
    assert make_config("bert", 5).intermediate_size == 128


@pytest.mark.parametrize("program", ["test_engine", "test_lane"])
def test_the_tests_in_cpp_pass(built: Path, program: str) -> None:
    done = subprocess.run([built / program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
