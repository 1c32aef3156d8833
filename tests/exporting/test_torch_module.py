"""An artifact as a torch module: the engine's logits from tensors, and an error where the tensors do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from liteft.artifact import Artifact
from liteft.errors import DeviceError
from liteft.exporting import export
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.runtime.native_library import VARIABLE
from liteft.torch_module import native_module
from tests.exporting.conftest import Workshop

Batch = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(autouse=True)
def native(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The native library, used for this test."""
    monkeypatch.setenv(VARIABLE, str(built / "libliteft.so"))
    return built


@pytest.fixture(scope="module")
def both(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> tuple[TorchClassifier, Artifact]:
    """A model of pairs, and its artifact in fp32."""
    folder, split = workshop.learned("bert", paired=True)
    return load_classifier(folder), export(
        folder, tmp_path_factory.mktemp("module") / "artifact", precision="fp32", verify=split
    )


def tensors(feed: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in feed.items()}


@pytest.mark.parametrize("kind", ["full", "right", "left", "holes"])
def test_logits_are_the_model_s(both: tuple[TorchClassifier, Artifact], batch: Batch, kind: str) -> None:
    loaded, artifact = both
    feed = tensors(batch(kind, 7, 20, pad=loaded.config.pad_token_id))
    with torch.no_grad():
        wanted = loaded.model(**feed).logits
    found = native_module(artifact.path)(**feed)
    assert found.dtype == torch.float32 and not found.requires_grad
    assert (wanted - found).abs().max() < 1e-4


def test_int32_and_views_are_taken_and_a_missing_mask_shows_all(
    both: tuple[TorchClassifier, Artifact], batch: Batch
) -> None:
    module = native_module(both[1].path, threads=1)
    ids = torch.from_numpy(batch("full", 6, 20, pad=0)["input_ids"])
    wanted = module(ids[::2], torch.ones_like(ids[::2]), torch.zeros_like(ids[::2]))
    assert torch.equal(module(ids.int()[::2]), wanted)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_ids": torch.ones(5, dtype=torch.long)}, "input_ids has shape"),
        ({"attention_mask": torch.ones(2, 3, dtype=torch.long)}, "differ in shape"),
        ({"attention_mask": torch.zeros(2, 4, dtype=torch.long)}, "has no token"),
        ({"input_ids": torch.full((2, 4), 10**6)}, "id 1000000"),
        ({"token_type_ids": torch.ones(4, 2, dtype=torch.long)}, "differ in shape"),
    ],
)
def test_tensors_that_do_not_fit_are_an_error(
    both: tuple[TorchClassifier, Artifact], changes: dict[str, Tensor], words: str
) -> None:
    feed = {"input_ids": torch.ones(2, 4, dtype=torch.long), **changes}
    with pytest.raises(DeviceError, match=words):
        native_module(both[1].path)(**feed)


def test_a_flat_artifact_is_refused_with_the_reason(workshop: Workshop, tmp_path: Path) -> None:
    folder, split = workshop.learned()
    flat = export(folder, tmp_path / "flat", precision="fp32", flat=True, verify=split)
    with pytest.raises(DeviceError, match="not the one node"):
        native_module(flat.path)
