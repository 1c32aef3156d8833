"""liteft.advise as a whole, with tiny bases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.advising import surveying
from liteft.advising.advice import Advice
from liteft.data import Dataset, Split
from liteft.errors import ConfigError, DataError


def plain(advice: Advice) -> Any:
    """Return the advice as its JSON says it, without the time that it took."""
    return json.loads(json.dumps(advice.to_dict())) | {"seconds": None}


@pytest.fixture(scope="module")
def advice(dataset: Dataset, base: Path, noise: Path) -> Advice:
    """Advice with a base that knows the topics and one that knows nothing."""
    return liteft.advise(dataset, [str(noise), str(base)])


def test_the_better_base_is_the_teacher_and_everything_is_shown(advice: Advice, base: Path) -> None:
    text = advice.render()
    assert f"teacher: {base}" in text
    for part in ("naive Bayes", "layer 2", "embeddings", "learning curves", "int8 MB", "1x32", "class weights: none"):
        assert part in text
    assert f"next: liteft distill --data topics --teacher {base} --max-tokens " in text
    assert "Cross-validated on all 90 training texts" in text
    assert "topics" in repr(advice) and "\n" not in repr(advice)


def test_the_plain_data_have_every_layer_and_both_curves(advice: Advice) -> None:
    found = plain(advice)
    assert [len(each["layers"]) for each in found["bases"]] == [3, 3]
    assert len(found["curves"]) == 2 and len(found["curves"][0]["sizes"]) == 4
    assert found["sample"] == {"texts": 90, "of": 90}
    assert found["command"][:2] == ["liteft", "distill"]
    assert {"naive Bayes", "TF-IDF with a linear SVM"} <= {each["name"] for each in found["floors"]}


def test_equal_calls_give_equal_advice_and_labels_of_the_test_split_are_never_read(
    advice: Advice, dataset: Dataset, base: Path, noise: Path
) -> None:
    assert dataset.test.labels is not None
    poisoned = replace(dataset.test, labels=(dataset.test.labels + 1) % 3)
    splits = {**dataset.splits, "test": poisoned, "extra": replace(poisoned, name="extra")}
    found = liteft.advise(replace(dataset, splits=splits, unseen={"test": {"purple": 18}}), [str(noise), str(base)])
    assert plain(found) == plain(advice)


def test_texts_of_the_test_split_that_train_has_are_counted(dataset: Dataset, base: Path) -> None:
    test = Split("test", dataset.train.texts[:9] + dataset.test.texts[9:], None, dataset.test.labels)
    found = liteft.advise(replace(dataset, splits={**dataset.splits, "test": test}), [str(base)])
    assert found.recommendations[0].topic == "data"
    assert "9 texts of test (50.0%) are also in train" in found.recommendations[0].reason


def test_many_repeated_texts_are_said(advice: Advice, dataset: Dataset) -> None:
    rows = np.concatenate([np.arange(90), np.arange(10)])
    twice = replace(dataset, splits={**dataset.splits, "train": dataset.train.take(rows)})
    (note,) = (note for note in liteft.advise(twice, []).notes if "repeat" in note)
    repeated = 100 - len({text.casefold() for text in dataset.train.texts})
    assert note.startswith(f"{repeated} of 100 texts repeat another one, and the intervals of single scores")


def test_what_was_sampled_is_said(dataset: Dataset, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "texts_within", lambda *given, **more: 60)
    found = liteft.advise(dataset, [str(base)])
    assert any("60 of 90 training texts were read" in note for note in found.notes)
    assert "Cross-validated on 60 of 90 training texts" in found.render()
    assert found.evidence.curves[0].labelled == 60


def test_limits_are_predicted_and_milliseconds_timed_only_if_they_are_limited(
    dataset: Dataset, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def latency(student: Any, *_given: Any, **_more: Any) -> float:
        timed.append(int(student.config.num_hidden_layers))
        return float(timed[-1])

    from liteft.advising import sizes

    monkeypatch.setattr(sizes, "untrained_latency_ms", latency)
    found = liteft.advise(dataset, [str(base)], max_mb=1)
    assert not timed and found.verb == "search" and "tokens that fit" in found.render()
    found = liteft.advise(dataset, [str(base)], max_ms=1.5)
    assert timed == [1, 2, 1, 2]
    within = {each.name: each.within for each in found.evidence.costs[str(base)]}
    assert within["1x32"] and not within["2x32"]


def test_a_dozen_texts_have_no_learning_curve_and_prove_nothing(dataset: Dataset, base: Path) -> None:
    splits = {**dataset.splits, "train": dataset.train.take(np.arange(12))}
    found = liteft.advise(replace(dataset, splits=splits), [str(base)])
    assert found.evidence.curves == () and "12 training texts are too few for a learning curve" in found.notes
    choices = {each.topic: each.choice for each in found.recommendations}
    assert choices["more text"].startswith("label more") and not choices["transformer"].startswith("not needed")


@pytest.mark.parametrize("kind", ["pairs", "several"])
def test_pairs_and_several_labels_are_advised_on(kind: str, tiny: ModuleType, base: Path) -> None:
    data = tiny.make_paired() if kind == "pairs" else tiny.make_multi(other=50)
    found = liteft.advise(data, [str(base)])
    assert found.evidence.metric == ("accuracy" if kind == "pairs" else "micro_f1")
    assert json.dumps(found.to_dict()) and found.render()
    tuned = [word for word in found.command if "tune_threshold" in word]
    assert tuned == ([] if kind == "pairs" else ["teacher.tune_threshold=true", "student.tune_threshold=true"])
    assert any(each.topic == "threshold" for each in found.recommendations) == (kind == "several")


def test_no_threshold_is_advised_where_none_can_be_tuned(tiny: ModuleType, base: Path, tmp_path: Path) -> None:
    tiny.write_base(tmp_path / "gpt2", "gpt2")
    cases = [(tiny.make_multi(), [str(base)]), (tiny.make_multi(other=50), [str(tmp_path / "gpt2")])]
    for data, bases in cases:  # too few validation texts; a decoder, whose head has no bias
        found = liteft.advise(data, bases)
        assert not any("tune_threshold" in word for word in found.command)
        assert not any(each.topic == "threshold" for each in found.recommendations)


def test_without_a_base_the_network_is_not_asked(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(surveying, "resolve_base", lambda name: pytest.fail(f"{name} was looked for"))
    found = liteft.advise(dataset)
    assert any("no base was probed" in note for note in found.notes)
    assert found.evidence.bases == () and "naive Bayes" in found.render()


def test_the_next_command_reads_the_same_columns_and_pools_as_the_probe_did(
    dataset: Dataset, base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.jsonl"
    rows = zip(dataset.train.texts, dataset.train.labels, strict=True)  # type: ignore[arg-type]
    path.write_text("".join(json.dumps({"a": text, "b": f"l{label}"}) + "\n" for text, label in rows))
    recipe = liteft.Recipe.model_validate({"data": {"text": "a", "label": "b"}, "teacher": {"pooling": "mean"}})
    found = liteft.advise(path, [str(base)], recipe=recipe)
    assert found.command[2:8] == ("--data", str(path), "--text", "a", "--label", "b")
    assert "teacher.pooling=mean" in found.command


@pytest.mark.parametrize(
    "wrong",
    [
        *({"seed": -1}, {"seed": "a"}, {"minutes": 0}, {"max_mb": -1}, {"max_mb": "10"}, {"max_ms": 0}),
        *({"threads": 0}, {"threads": -1}, {"bases": "minilm"}),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        liteft.advise(dataset, **wrong)


def test_scores_are_refused_without_floors_that_there_are_not() -> None:
    splits = {name: Split(name, ["a", "b"], None, np.array([0.0, 1.0])) for name in ("train", "validation")}
    with pytest.raises(DataError, match="advice is given for labels of whole texts") as caught:
        liteft.advise(Dataset("ratings", "scores", ("score",), splits), [])
    assert not any("floors" in hint for hint in caught.value.command_hints())
