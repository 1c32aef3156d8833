"""The model of scores: values and logits, rankings, files, and that nothing depends on company."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from liteft.artifact import Artifact
from liteft.errors import ConfigError, DeviceError, InputError
from liteft.runtime import Ranked, Score, Scorer, load, predict_file

TEXTS = ["great service", "the app closes", "", "please refund the second payment " * 20]
FIELDS: dict[str, Any] = {"labels": ("score",), "task": "scores"}


@pytest.fixture(scope="module")
def artifact(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    path = tmp_path_factory.mktemp("artifacts") / "scores"
    return tiny.write_artifact(path, **FIELDS, activation="sigmoid")


@pytest.fixture(scope="module")
def scorer(artifact: Artifact) -> Iterator[Scorer]:
    with load(artifact.path, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ranker(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """A model of pairs whose scores are its logits."""
    path = tmp_path_factory.mktemp("artifacts") / "pairs"
    tiny.write_artifact(path, **FIELDS, activation="none", paired=True)
    with load(path, threads=1) as loaded:
        yield loaded


def test_a_text_gives_a_score_and_a_list_gives_a_list(scorer: Scorer) -> None:
    assert isinstance(scorer, Scorer) and "texts" in repr(scorer)
    one = scorer.predict("great service")
    assert isinstance(one, Score) and one.render() == f"{one.score:.4f}" and json.dumps(one.to_dict())
    assert scorer.predict(["great service"]) == [one] and scorer.predict([]) == []
    assert one.score == pytest.approx(1 / (1 + np.exp(-one.logit))) and one.logit != one.score
    assert [each.truncated for each in scorer.predict(TEXTS)] == [False, False, False, True]


def test_scores_and_logits_are_those_of_predict_alone_and_in_company(scorer: Scorer) -> None:
    found = scorer.predict(TEXTS)
    values, logits = scorer.scores(TEXTS), scorer.logits(TEXTS)
    assert values.dtype == np.float32 and values.shape == (4,) and logits.shape == (4, 1)
    assert [each.score for each in found] == pytest.approx(values.tolist())
    assert [each.logit for each in found] == pytest.approx(logits[:, 0].tolist())
    alone = [scorer.predict(text).score for text in TEXTS]
    assert alone == pytest.approx(values.tolist(), abs=1e-6)
    assert scorer.scores([]).shape == (0,)


def test_a_stream_keeps_the_order_and_gives_none_for_what_is_no_text(scorer: Scorer) -> None:
    found = list(scorer.stream(iter([*TEXTS, 3]), on_error="null", window=2))
    assert found[-1] is None
    values = [each.score for each in found if each is not None]
    assert values == pytest.approx(scorer.scores(TEXTS).tolist(), abs=1e-6)
    with pytest.raises(InputError, match="text 1"):
        list(scorer.stream(["a", None]))
    for setting in ({"top_k": 3}, {"threshold": 0.5}):
        with pytest.raises(ConfigError, match="this model gives scores"):
            scorer.stream([], **setting)


def test_a_ranking_has_the_best_first_and_of_equal_ones_the_first(ranker: Scorer) -> None:
    texts = ["the app closes", "great service", "the app closes", "my order"]
    found = ranker.rank("the app", texts)
    assert all(isinstance(each, Ranked) and each.text == texts[each.index] for each in found)
    scores = ranker.scores(["the app"] * 4, texts)
    assert [each.score for each in found] == pytest.approx(sorted(scores.tolist(), reverse=True))
    places = [each.index for each in found]
    assert sorted(places) == [0, 1, 2, 3] and places.index(0) < places.index(2)
    assert ranker.rank("the app", texts, top_k=2) == found[:2] and ranker.rank("the app", []) == []
    assert found[0].render().endswith(found[0].text) and json.dumps(found[0].to_dict())
    assert ranker.predict(("the app", "my order")).score == ranker.predict(("the app", "my order")).logit


def test_what_cannot_be_ranked_is_refused(scorer: Scorer, ranker: Scorer) -> None:
    with pytest.raises(ConfigError, match="reads single texts"):
        scorer.rank("the app", TEXTS)
    with pytest.raises(ConfigError, match="top_k"):
        ranker.rank("the app", TEXTS, top_k=0)
    with pytest.raises(InputError, match="the query is a value of type list"):
        ranker.rank(["the app"], TEXTS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="text 1, second half, is None"):
        ranker.rank("the app", ["my order", None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="text 0, second half, is 3") as caught:
        ranker.predict([("the app", 3)])
    assert "(text, pair)" in str(caught.value.accepted)
    with pytest.raises(InputError, match="text 0, second half, is a value of type tuple"):
        ranker.predict([("the app", ("my", "order"))])
    with pytest.raises(InputError, match="a value of type DataFrame") as caught:
        ranker.rank("the app", pd.DataFrame({"text": TEXTS}))  # type: ignore[arg-type]
    assert "a column of it" in str(caught.value)
    assert type(ranker.rank("the app", np.array(["my order"]))[0].text) is str  # type: ignore[arg-type]
    with pytest.raises(InputError):
        ranker.rank("the app", "my order")
    with pytest.raises(InputError):
        ranker.scores(TEXTS)


def test_a_file_keeps_its_scores_and_gets_a_column_of_predictions(scorer: Scorer, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text, "score": 1}) + "\n" for text in TEXTS))
    done = predict_file(scorer, source, target)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["prediction"] for row in rows] == pytest.approx(scorer.scores(TEXTS).tolist(), abs=1e-6)
    assert rows[0] == {"text": TEXTS[0], "score": 1, "prediction": rows[0]["prediction"]} and done.truncated == 1


def test_encoding_and_running_are_the_two_halves_of_logits(scorer: Scorer) -> None:
    assert np.array_equal(scorer.run(scorer.encode(TEXTS)), scorer.logits(TEXTS))


def test_a_pickle_loads_again_and_a_closed_one_refuses(artifact: Artifact) -> None:
    with load(artifact.path, threads=1) as loaded:
        again = pickle.loads(pickle.dumps(loaded))
        assert again.predict("great service") == loaded.predict("great service")
    with pytest.raises(DeviceError, match="closed"):
        loaded.predict("great service")


def test_a_manifest_of_scores_has_an_activation_that_scores_can_have(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not softmax"):
        tiny.write_artifact(tmp_path / "scores", **FIELDS, activation="softmax")
