"""A small corpus of words that follow each other by rules, so that a tiny model learns to guess some of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset
from tests.finetuning.conftest import make_dataset

QUICK: dict[str, Any] = {
    "size": "1x32",
    "vocabulary": 120,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "max_tokens": 16,
    "validation_fraction": 0.1,
    "training_precision": "fp32",
    "seed": 3,
}
"""Settings of a training of 14 steps on ``corpus``."""

SUBJECTS, VERBS, THINGS = ("anna", "bert", "carl"), ("reads", "writes", "sells"), ("books", "letters", "pictures")


def make_texts(count: int, *, seed: int = 0) -> list[str]:
    """Return short sentences, all different: the verb follows from the subject."""
    random = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        who = random.integers(3)
        things = " and ".join(random.choice(THINGS, random.integers(1, 4)))
        texts.append(f"{SUBJECTS[who]} {VERBS[who]} {things} in {number}.")
    return texts


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of 60 lines, and two blank ones."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    lines = make_texts(60)
    path.write_text("\n".join([*lines[:30], "", "  ", *lines[30:]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A single-label set with three labels, whose texts the corpus does not have."""
    return make_dataset()
