"""Word embeddings of 4 bits: what is stored, what both backends make of it, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from liteft import config
from liteft.errors import ArtifactError, ConfigError, LiteftError, ModelError, VerificationError
from liteft.exporting import Limits, export
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.quantization import WORDS, Int8Plan
from liteft.exporting.tables import Table, quantize_nibbles, unpack_nibbles
from liteft.form import ExportForm
from liteft.report.parameters import onnx_parameters
from liteft.runtime import load
from liteft.runtime.encoder_file import read_classifier
from tests.exporting.conftest import random_texts
from tests.native.sessions import open_session, run

Batch = Callable[..., dict[str, np.ndarray]]
LOOSE = Limits(agreement=0.1, accuracy_drop=1.0)  # random tables suffer more than trained ones


@pytest.fixture
def native(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The native library, where the runtime looks first."""
    monkeypatch.setenv("LITEFT_LIBRARY", str(built / "libliteft.so"))
    return built / "libliteft.so"


def rows(count: int = 40, width: int = 64) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, width)).astype(np.float32)


def test_two_values_share_a_byte_in_the_order_that_is_written_down() -> None:
    packed, scales = quantize_nibbles(np.array([[7, -8, 0, 3]], dtype=np.float32))
    assert scales == pytest.approx([1.0], rel=0.2)
    step = np.round(np.array([7, -8, 0, 3]) / scales[0]).clip(-8, 7) + 8
    assert packed.tolist() == [[int(step[0]) | int(step[2]) << 4, int(step[1]) | int(step[3]) << 4]]


def test_the_scale_is_the_one_with_the_least_squared_error() -> None:
    values = rows()
    packed, scales = quantize_nibbles(values)
    error = np.square(unpack_nibbles(packed, scales) - values).sum(axis=1)
    whole = np.abs(values).max(axis=1) / 7
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        tried = (whole * share)[:, None]
        assert (error <= np.square((values / tried).round().clip(-8, 7) * tried - values).sum(axis=1) + 1e-5).all()
    assert np.sqrt(error.sum() / np.square(values).sum()) < 0.12


def test_rows_of_zeros_stay_zeros() -> None:
    packed, scales = quantize_nibbles(np.zeros((2, 8), dtype=np.float32))
    assert (scales > 0).all() and not unpack_nibbles(packed, scales).any()


def test_a_graph_takes_the_rows_that_were_stored(run_graph: Any) -> None:
    builder, table = GraphBuilder(), rows(40, 64)
    taken = Table(builder, "words", table, "int8", bits=4).take("input_ids")
    model = builder.model("one", inputs={"input_ids": ("texts", "tokens")}, output=taken, shape=("texts", "tokens", 64))
    ids = np.random.default_rng(0).integers(0, 40, (5, 7))
    assert np.array_equal(run_graph(model, {"input_ids": ids}), unpack_nibbles(*quantize_nibbles(table))[ids])


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_native_and_onnxruntime_agree(native: Path, workshop: Any, tmp_path: Path, family: str, pooling: str) -> None:
    folder, split = workshop.learned(family, pooling)
    artifact = export(folder, tmp_path / "out", precision="int8", embedding_bits=4, verify=split, limits=LOOSE)
    texts = random_texts(60)
    with load(artifact.path, backend="native") as ours, load(artifact.path, backend="onnxruntime") as theirs:
        assert np.abs(ours.logits(texts) - theirs.logits(texts)).max() < 0.05


def test_the_operator_reads_them(native: Path, workshop: Any, batch: Batch) -> None:
    model = Blueprint(workshop.loaded("bert")).model("int8", Int8Plan(ExportForm(embedding_bits=4)))
    feed = batch("left", 6, 15, pad=0)
    ours, theirs = run(open_session(model, native), feed), run(open_session(model), feed)
    assert 0 < np.abs(ours - theirs).max() < 0.05


def test_the_artifact_says_so_and_its_table_is_half(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    whole = export(folder, tmp_path / "whole", precision="int8", verify=split, limits=LOOSE)
    half = export(folder, tmp_path / "half", precision="int8", embedding_bits=4, verify=split, limits=LOOSE)
    assert (whole.manifest.form.embedding_bits, half.manifest.form.embedding_bits) == (8, 4)
    tables = [read_classifier(each.model_path).weights["embeddings.word.weight"] for each in (whole, half)]
    assert tables[1].dtype == np.uint8 and 2 * tables[1].nbytes == tables[0].nbytes
    assert read_classifier(half.model_path).spec.embedding_width == tables[0].shape[1]
    assert "4-bit word embeddings" in str(half)
    assert "4-bit word embeddings" in (half.path / "card.md").read_text()


def test_their_weights_are_counted_two_a_byte(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    found = []
    for bits in (8, 4):
        out = tmp_path / str(bits)
        export(folder, out, precision="int8", embedding_bits=bits, verify=split, limits=LOOSE)
        found.append(onnx_parameters(out / "model.onnx"))
    assert found[0] == found[1]


def test_where_they_lose_too_much_they_are_named_and_mixed_gives_them_8_bits(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", count=80)
    strict = Limits(agreement=1.0, accuracy_drop=0.0)
    options: dict[str, Any] = {"precision": "int8", "embedding_bits": 4, "verify": split, "limits": strict}
    with pytest.raises(VerificationError) as caught:
        export(folder, tmp_path / "out", **options)
    assert (
        WORDS in caught.value.accepted["most sensitive, 1"] and "8 bits" in caught.value.accepted["most sensitive, 1"]
    )
    assert "--embedding-bits 8" in caught.value.command_hints()
    artifact = export(folder, tmp_path / "out", **options | {"mixed": True, "limits": Limits(agreement=0.9)})
    assert artifact.manifest.form.embedding_bits in (4, 8)


def test_a_position_table_of_bytes_is_refused(workshop: Any, tmp_path: Path) -> None:
    model = Blueprint(workshop.loaded("bert")).model("int8", Int8Plan(ExportForm(embedding_bits=4)))
    (tensor,) = (each for each in model.graph.initializer if each.name == "embeddings.position.weight")
    tensor.data_type = onnx.TensorProto.UINT8
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"embeddings\.position\.weight of type uint8"):
        read_classifier(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8", "embedding_bits": 3}, "embedding_bits 3 is unknown"),
        ({"precision": "fp16", "embedding_bits": 4}, "embedding_bits=4 applies to precision 'int8' only"),
    ],
)
def test_what_means_nothing_is_refused(workshop: Any, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    folder, split = workshop.learned("bert", count=20)
    with pytest.raises(ConfigError, match=words):
        export(folder, tmp_path / "out", verify=split, **options)


def test_a_traced_graph_refuses_them(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("gpt2", count=20)
    with pytest.raises(ModelError, match="the graph is traced"):
        export(folder, tmp_path / "out", precision="int8", embedding_bits=4, verify=split)


def test_the_recipe_knows_them() -> None:
    assert config.make_recipe({"export": {"embedding_bits": 4}}).export.embedding_bits == 4
    with pytest.raises(LiteftError):
        config.make_recipe({"export": {"embedding_bits": 5}})
