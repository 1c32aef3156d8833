"""Comparisons of models that give scores: activations, queries with candidates, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.data import Split
from liteft.errors import ConfigError
from liteft.metrics import sigmoid
from liteft.report import compare
from liteft.runtime import load
from tests.modules import module_of

SCORES: dict[str, Any] = {"labels": ("score",), "task": "scores", "activation": "none"}


@pytest.fixture(scope="module")
def ranker(write_artifact: Callable[..., Artifact]) -> Artifact:
    """A model of pairs whose scores are its logits."""
    return write_artifact("ranker", paired=True, **SCORES)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with one logit whose config.json names neither a task nor an activation."""
    exporting = module_of("exporting")
    folder: Path = exporting.Workshop(tmp_path_factory.mktemp("models")).folder("bert", labels=1, task="scores")
    config = json.loads((folder / "config.json").read_text())
    kept = {name: value for name, value in config.items() if name not in ("liteft", "problem_type")}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def candidates(texts_of: Callable[..., list[str]], queries: int = 12, each: int = 4) -> tuple[list[str], list[str]]:
    """Return queries, each as often as it has candidates, and the candidates."""
    asked = [f"the order number {query}" for query in range(queries) for _ in range(each)]
    return asked, texts_of(len(asked), seed=3)


def test_a_ranking_is_judged_over_queries_and_an_artifact_that_gives_the_gold_scores_is_perfect(
    ranker: Artifact, texts_of: Callable[..., list[str]]
) -> None:
    queries, texts = candidates(texts_of)
    with load(ranker.path, threads=1) as scorer:
        logits = scorer.logits(queries, texts)[:, 0]
    gold = (logits > np.repeat(logits.reshape(-1, 4).max(axis=1), 4) - 1e-6).astype(np.float64)
    found = compare(ranker, on=Split("test", queries, texts, gold), rounds=0, threads=1)
    (model,) = found.models
    assert model.scores["ndcg_10"] == model.scores["mrr"] == 1.0
    assert model.intervals["mrr"] == (1.0, 1.0) and "nDCG@10 %" in found.render()
    json.dumps(found.to_dict(), allow_nan=False)
    turned = compare(ranker, on=Split("test", queries, texts, 1 - gold), rounds=0, threads=1)
    assert turned.models[0].scores["mrr"] < 1.0
    alone = compare(ranker, on=Split("test", list(map(str, range(48))), texts, gold), rounds=0, threads=1)
    assert "mrr" not in alone.models[0].scores, "a query with one candidate ranks nothing"


def test_the_activation_of_a_model_from_elsewhere_is_what_is_said(
    elsewhere: Path, texts_of: Callable[..., list[str]]
) -> None:
    # One text of each length: the model knows none of the words, and in torch equal tokens may differ by a bit between
    # two batches, which a sigmoid rounds to a tie.
    texts = list({len(text.split()): text for text in texts_of(60)}.values())
    split = Split("test", texts, None, np.linspace(0, 1, len(texts)))
    plain, squashed = (compare(elsewhere, on=split, rounds=0, threads=1, activation=said) for said in (None, "sigmoid"))
    first, second = (found.models[0].scores for found in (plain, squashed))
    assert second["rmse"] != first["rmse"] and second["spearman"] == pytest.approx(first["spearman"])
    told = [[note for note in found.notes if "states an activation" in note] for found in (plain, squashed)]
    assert told[0] and not told[1]


def test_models_with_and_without_a_sigmoid_agree_where_their_scores_do(
    write_artifact: Callable[..., Artifact], texts_of: Callable[..., list[str]]
) -> None:
    plain = write_artifact("plain", **SCORES)
    squashed = write_artifact("squashed", **SCORES | {"activation": "sigmoid"})
    texts = texts_of(40)
    with load(plain.path, threads=1) as scorer:
        logits = scorer.logits(texts)[:, 0].astype(np.float64)
    found = compare(plain, squashed, on=Split("test", texts, None, logits), rounds=0, threads=1)
    near = np.abs(sigmoid(logits) - logits) <= 0.2 * logits.std()
    assert found.models[1].agreement == pytest.approx(near.mean()) and not near.all()


def test_an_activation_of_models_that_liteft_wrote_must_be_theirs(
    ranker: Artifact, texts_of: Callable[..., list[str]]
) -> None:
    queries, texts = candidates(texts_of)
    split = Split("test", queries, texts, np.arange(48.0))
    with pytest.raises(ConfigError, match="activation may be stated for folders that transformers wrote") as caught:
        compare(ranker, on=split, rounds=0, activation="sigmoid")
    assert caught.value.accepted == {"activation": "as it was trained: none"}
    assert compare(ranker, on=split, rounds=0, threads=1, activation="none").models
