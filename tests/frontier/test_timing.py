"""Timings as they are really taken: of a shape before its training, in a process that loads it as a service would."""

from __future__ import annotations

import pytest

from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation.initial import create_student
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from liteft.frontier.timing import untrained_latency_ms


@pytest.mark.parametrize("form", [ExportForm(), ExportForm(embedding_bits=4)], ids=ExportForm.describe)
def test_an_untrained_shape_is_timed(form: ExportForm, loaded: TorchClassifier, dataset: Dataset) -> None:
    student = create_student(loaded, make_recipe({"student": {"size": "1"}}).student)
    assert 0.005 < untrained_latency_ms(student, form, dataset.validation, threads=1) < 1000
