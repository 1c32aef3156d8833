"""A layer that int8 cannot hold is caught by the gate, named, and kept in float where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from liteft.artifact import Artifact, read_artifact
from liteft.data import Split
from liteft.errors import DataError, VerificationError
from liteft.exporting import Limits, blueprint, export
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.sensitivity import rank_products
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier, save_classifier
from liteft.runtime import load
from liteft.runtime.encoder_file import read_classifier
from liteft.runtime.native_library import has_library
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL
from tests.exporting.conftest import centre, random_texts

GUILTY = "layers.1.attention.output"
LIMITS = Limits(agreement=0.9, accuracy_drop=0.05)  # tiny random models decide by hairs
SCHEMES = ["per_row", "static"]
TEXTS = 120  # as few as tell a bad layer from near ties


def plant(path: Path, kind: str) -> None:
    """Spoil attention.output of layer 1 for int8, and leave what the model computes as it was.

    "weights": one channel of its weights is scaled 100 times, and the values that it meets by a hundredth: the other
    weights of every output are a hundredth of the largest, and vanish between its steps. "activations": a channel whose
    weights are zero has values of 30: the other values of every row, about 0.3, vanish.
    """
    loaded = load_classifier(path)
    attention = loaded.model.encoder.encoder.layer[1].attention
    value, output = attention.self.value, attention.output.dense
    with torch.no_grad():
        if kind == "weights":
            output.weight[:, 6] *= 100
            value.weight[6] /= 100
            value.bias[6] /= 100
        else:
            value.bias[5] += 30
    save_classifier(loaded.model, loaded.settings, path, path)


def planted(workshop: Any, kind: str) -> tuple[Path, Split]:
    """Return a model with a bad layer, and texts that it is right about."""
    path, split = workshop.learned("bert", "mean", count=TEXTS)
    loaded = load_classifier(path)
    with torch.no_grad():
        loaded.model.encoder.encoder.layer[1].attention.output.dense.weight[:, 5] = 0
    before = centre(loaded, split.texts, None)
    save_classifier(loaded.model, loaded.settings, path, path)
    plant(path, kind)
    after = predict_logits(load_classifier(path), split.texts)
    np.testing.assert_allclose(before, after, atol=2e-4)
    return path, Split("validation", split.texts, None, after.argmax(axis=1))


@pytest.fixture(scope="module", params=["weights", "activations"])
def bad(request: pytest.FixtureRequest, workshop: Any) -> tuple[Path, Split, str]:
    """A model, its texts, and the fallback that it needs."""
    fallback = "float" if request.param == "weights" else "weight_only"
    return *planted(workshop, request.param), fallback


@pytest.fixture(scope="module", params=SCHEMES)
def mixed(
    request: pytest.FixtureRequest, bad: tuple[Path, Split, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Artifact, list[str]]:
    """The model as an artifact that keeps its bad layer, in either scheme, and the lines that its export wrote."""
    folder, split, _ = bad
    lines: list[str] = []
    options: dict[str, Any] = {"precision": "int8", "scheme": request.param, "verify": split, "limits": LIMITS}
    out = tmp_path_factory.mktemp("mixed") / "out"
    return export(folder, out, mixed=True, progress=lines.append, **options), lines


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_planted_bad_layer_is_caught_and_named(scheme: Any, bad: tuple[Path, Split, str], tmp_path: Path) -> None:
    folder, split, _ = bad
    with pytest.raises(VerificationError, match="does not agree") as caught:
        export(folder, tmp_path / "out", precision="int8", scheme=scheme, verify=split, limits=LIMITS)
    assert caught.value.accepted["most sensitive, 1"].startswith(f"{GUILTY}: divergence ")
    assert "worst text 1" in caught.value.accepted
    assert caught.value.command_hints()[0].startswith("--mixed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_channel_that_int8_alone_has_100_times_too_large_is_caught_and_named(
    scheme: Any, workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mistake in quantizing would have it: float weights are right, and those of one int8 channel are not."""
    build, guilty = blueprint.build_model, "layers.0.feed_forward.outer"

    def broken(*arguments: Any) -> onnx.ModelProto:
        model = build(*arguments)
        for tensor in model.graph.initializer:
            if tensor.name == f"{guilty}.scale":
                scales = numpy_helper.to_array(tensor).copy()
                scales[9] *= 100
                tensor.CopyFrom(numpy_helper.from_array(scales, tensor.name))
        return model

    monkeypatch.setattr(blueprint, "build_model", broken)
    folder, split = workshop.learned("bert", "mean", count=TEXTS)
    options: dict[str, Any] = {"precision": "int8", "scheme": scheme, "verify": split, "limits": LIMITS}
    with pytest.raises(VerificationError, match="does not agree") as caught:
        export(folder, tmp_path / "out", **options)
    assert caught.value.accepted["most sensitive, 1"].startswith(f"{guilty}: divergence ")
    artifact = export(folder, tmp_path / "out", mixed=True, **options)
    assert artifact.manifest.fallbacks == {guilty: "float"}


def test_mixed_keeps_the_bad_layer_in_float_and_says_what_it_costs(
    bad: tuple[Path, Split, str], mixed: tuple[Artifact, list[str]]
) -> None:
    fallback, (artifact, lines) = bad[-1], mixed
    manifest = artifact.manifest
    assert manifest.fallbacks == {GUILTY: fallback}
    told = manifest.verification["mixed"]
    assert told["products"] == {GUILTY: fallback}
    matrix = 64 * 64
    if fallback == "float":
        assert 2.5 * matrix < told["bytes"] < 3 * matrix  # the scales go, and some nodes
    else:
        assert -2000 < told["bytes"] < 200
    assert any(GUILTY in line and "in float from now on" in line for line in lines)
    assert manifest.verification["int8_products"] == 4 * 3 - 1
    if has_library():
        assert manifest.verification["backends"] == ["onnxruntime", "native"]
    assert GUILTY in (artifact.path / "card.md").read_text()


@pytest.mark.skipif(not has_library(), reason="the native library is not built")
def test_the_native_engine_runs_a_mixed_file_like_onnxruntime(
    bad: tuple[Path, Split, str], mixed: tuple[Artifact, list[str]]
) -> None:
    folder, split, fallback = bad
    artifact = mixed[0]
    stored = read_classifier(artifact.model_path)
    assert stored.float_products == {GUILTY}
    assert stored.weights[f"{GUILTY}.weight"].dtype == (np.float32 if fallback == "float" else np.int8)
    exact = predict_logits(load_classifier(folder), split.texts)
    spread = (exact - exact.mean(axis=0)).std()
    found = {backend: logits(artifact, backend, split.texts) for backend in ("native", "onnxruntime")}
    for each in found.values():
        assert np.sqrt(((each - exact) ** 2).mean()) < 0.2 * spread
    apart = np.sqrt(((found["native"] - found["onnxruntime"]) ** 2).mean())
    assert apart < (0.2 if artifact.manifest.form.scheme == "static" else 0.05) * spread


def logits(artifact: Artifact, backend: Any, texts: list[str]) -> np.ndarray:
    with load(artifact.path, device="cpu", backend=backend, threads=1) as classifier:
        return classifier.logits(texts)


def test_a_sound_model_keeps_no_product_in_float_for_being_allowed_to(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", "mean", count=TEXTS)
    artifact = export(folder, tmp_path / "out", precision="int8", mixed=True, verify=split, limits=LIMITS)
    assert artifact.manifest.fallbacks == {}
    assert "mixed" not in artifact.manifest.verification


def test_mixed_gives_up_where_float_products_do_not_help(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", "mean", count=40)
    limits = Limits(batch_difference=0.0, logit_difference=1e-9)
    with pytest.raises(VerificationError, match="does not agree") as caught:
        export(folder, tmp_path / "out", precision="int8", mixed=True, verify=split, limits=limits)
    assert not any(hint.startswith("--mixed") for hint in caught.value.command_hints())
    assert "most sensitive, 5" in caught.value.accepted
    assert not list(tmp_path.iterdir())


def test_effects_are_ranked_and_measured_against_the_float_graph(workshop: Any) -> None:
    folder, split = planted(workshop, "weights")
    loaded = load_classifier(folder)
    graphs = Blueprint(loaded)
    effects = rank_products(graphs, Int8Plan(), loaded.tokenizer.encode(split.texts), SINGLE_LABEL)
    assert {effect.product for effect in effects} == set(graphs.products)
    sizes = [effect.divergence for effect in effects]
    assert sizes == sorted(sizes, reverse=True)
    assert (effects[0].product, effects[0].fallback) == (GUILTY, "float")
    assert effects[0].divergence > 10 * effects[1].divergence
    assert effects[0].changed > 0.05


def test_a_product_kept_in_float_is_not_ranked_again(workshop: Any) -> None:
    loaded = workshop.loaded("bert", "mean")
    quantization = Int8Plan().falling_back(GUILTY, "float")
    encoded = loaded.tokenizer.encode(random_texts(20))
    effects = rank_products(Blueprint(loaded), quantization, encoded, MULTI_LABEL)
    assert GUILTY not in {effect.product for effect in effects}
    assert len(effects) == 4 * 3 - 1


def test_divergence_is_that_of_the_textbook() -> None:
    reference, other = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert SINGLE_LABEL.divergence(reference, other) == pytest.approx(expected, rel=1e-6)
    odds = np.array([[0.0, 2.0]]), np.array([[1.0, 2.0]])
    half, more = 0.5, 1 / (1 + np.exp(-1))
    bernoulli = half * np.log(half / more) + half * np.log(half / (1 - more))
    assert MULTI_LABEL.divergence(*odds) == pytest.approx(bernoulli, rel=1e-6)
    assert SINGLE_LABEL.divergence(reference, reference) == 0
    assert SINGLE_LABEL.divergence(reference, other * np.nan) == np.inf


def test_unlabelled_texts_must_agree_as_well(workshop: Any, tmp_path: Path) -> None:
    folder, split = planted(workshop, "weights")
    labelled = split.take(slice(0, 4))  # too few to prove anything
    more = Split("unlabeled", split.texts, None)
    lenient = Limits(agreement=0.9, accuracy_drop=1.0)
    export(folder, tmp_path / "few", precision="int8", verify=labelled, limits=lenient)
    with pytest.raises(VerificationError, match=r"does not agree with .* on unlabeled"):
        export(folder, tmp_path / "out", precision="int8", verify=labelled, unlabeled=more, limits=lenient)
    assert not (tmp_path / "out").exists()
    sound, texts = workshop.learned("bert", "mean", count=100)
    artifact = export(sound, tmp_path / "sound", precision="fp32", verify=texts, unlabeled=more)
    assert artifact.manifest.verification["unlabeled"]["agreement"] == 1.0
    assert artifact.manifest.verification["unlabeled"]["texts"] == TEXTS
    assert f"{TEXTS} unlabelled texts" in (artifact.path / "card.md").read_text()


def test_probabilities_calibration_is_reported_of_both(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", "mean", count=100)
    checked = export(folder, tmp_path / "out", precision="fp32", verify=split).manifest.verification
    assert checked["calibration_error"] == pytest.approx(checked["model_calibration_error"], abs=1e-3)
    assert 0 < checked["calibration_error"] < 1
    alone = export(
        folder, tmp_path / "out", precision="fp32", verify=Split("validation", split.texts, None)
    ).manifest.verification
    assert alone["calibration_error"] is None


def test_the_manifest_says_how_int8_was_made(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", "mean", count=100)
    train = Split("train", random_texts(1200, seed=3), None)
    artifact = export(
        folder,
        tmp_path / "out",
        precision="int8",
        scheme="static",
        weight_bits=7,
        calibrate=train,
        calibration="mse",
        verify=split,
        limits=Limits(agreement=0.8, accuracy_drop=0.2),
    )
    manifest = read_artifact(artifact.path).manifest
    assert (manifest.form.scheme, manifest.form.weight_bits) == ("static", 7)
    assert manifest.calibration == {"split": "train", "texts": 1000}
    assert manifest.form.calibration == "mse"
    card = (artifact.path / "card.md").read_text()
    assert "one scale per weight channel and per activation tensor" in card
    assert "7-bit weights; calibrated by mse on 1,000 texts of train" in card


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scheme": "static", "precision": "fp32"}, "scheme='static' applies to precision 'int8' only"),
        ({"weight_bits": 7, "precision": "fp16"}, "weight_bits=7 applies to precision 'int8' only"),
        ({"mixed": True, "precision": "fp32"}, "mixed=True applies to precision 'int8' only"),
        ({"scheme": "statik", "precision": "int8"}, "scheme 'statik' is unknown"),
        ({"calibration": "max", "precision": "int8"}, "calibration 'max' is unknown"),
        ({"weight_bits": 4, "precision": "int8"}, "weight_bits 4 is unknown"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], words: str, workshop: Any, tmp_path: Path
) -> None:
    folder, split = workshop.learned("bert", count=20)
    pairs = Split("train", split.texts, split.texts)
    with pytest.raises(DataError, match="split 'train' has pairs"):
        export(folder, tmp_path / "out", precision="int8", scheme="static", calibrate=pairs, verify=split)
