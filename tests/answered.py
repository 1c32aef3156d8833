"""Questions that a tiny model can learn to answer: the color that a question names is a word of the context, or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import liteft
from liteft.answer_labels import AnswerLabels
from liteft.data import Dataset, Split
from liteft.run import Run, read_run
from liteft.tasks import ANSWERS
from tests.cache import Cache
from tests.modules import module_of

__all__ = ["QUICK", "made_artifact", "made_base", "made_teacher", "make_questions", "question_split", "questions"]

QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "seed": 3, "training_precision": "fp32"}
"""Settings of a training that learns to answer."""


def question_split(
    name: str, count: int, *, seed: int, words: tuple[int, int] = (5, 60), silent: float = 0.25
) -> Split:
    """Return questions about contexts of some words, of which a share has no answer."""
    tiny = module_of("finetuning")
    random = np.random.default_rng(seed)
    questions, contexts, answers = [], [], []
    for row in range(count):
        color = tiny.LABELS[row % len(tiny.LABELS)]
        context = random.choice(tiny.FILLERS, size=random.integers(*words)).tolist()
        found = []
        if random.random() >= silent:
            place, number = int(random.integers(len(context))), int(random.integers(1, 3))
            context[place:place] = random.choice(tiny.TOPICS[color], size=number).tolist()
            begin = len(" ".join(context[:place])) + (place > 0)
            found = [(begin, begin + len(" ".join(context[place : place + number])))]
        questions.append(f"{tiny.TOPICS[color][0]} {tiny.FILLERS[0]}")
        contexts.append(" ".join(context))
        answers.append(found)
    return Split(name, questions, contexts, AnswerLabels.found(answers, contexts))


def make_questions(*, train: int = 240, other: int = 60, seed: int = 0, silent: float = 0.25) -> Dataset:
    """Return a set of such questions."""
    counts = {"train": train, "validation": other, "test": other}
    splits = {
        name: question_split(name, count, seed=3 * seed + number, silent=silent)
        for number, (name, count) in enumerate(counts.items())
    }
    return Dataset("questions", ANSWERS, ("start", "end"), splits, {}, ())


def questions() -> Dataset:
    """Return the set that the teacher is trained on."""
    return make_questions(train=160, other=60)


def made_base(cache: Cache, family: str) -> Path:
    """Return the folder of a family's tiny base. Read it only."""
    return cache(f"answering/{family}", lambda folder: module_of("finetuning").write_base(folder, family))


def made_teacher(cache: Cache) -> Run:
    """Return a fine-tuned model of questions. Read it only."""
    base = made_base(cache, "bert")
    return read_run(cache("answering-teacher", lambda out: liteft.finetune(base, questions(), out=out, **QUICK)))


def made_artifact(cache: Cache) -> Path:
    """Return the teacher as an int8 artifact. Read it only."""
    teacher, verify = made_teacher(cache), questions().validation
    return cache("answering-artifact", lambda out: liteft.export(teacher, out, verify=verify))
