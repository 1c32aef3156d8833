"""The search on a tiny teacher: its order, what it leaves out, what it finds, and that it goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import liteft
from liteft import files
from liteft.artifact import read_artifact
from liteft.data import Dataset, Split
from liteft.distillation import student as distillation
from liteft.errors import ArtifactError, ConfigError, LiteftError, ModelError, RunError, VerificationError
from liteft.finetuning import finetune
from liteft.finetuning.model import TorchClassifier
from liteft.frontier import Frontier, loop, search
from liteft.frontier.candidates import Variant
from liteft.frontier.sizes import folder_bytes, sizes_of
from liteft.frontier.state import SearchState
from liteft.recipes import Recipe
from liteft.run import Run, read_run
from liteft.runtime import load
from tests.patterns import add_pattern
from tests.test_artifact import write

Make = Callable[..., Recipe]
Timed = dict[str, list[str]]


def names(found: Frontier, *statuses: str) -> list[str]:
    return [each.name for each in found.candidates if not statuses or each.status in statuses]


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "train_student", lambda *_given, **_rest: pytest.fail("trained again"))


@pytest.fixture
def worse(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], None]:
    """A function that lowers the quality that is read off artifacts: by points, for names that hold a word."""

    def lower(points: dict[str, float]) -> None:
        measured = loop.Search._measured

        def lowered(self: loop.Search, base: Any, artifact: Any) -> Any:
            found = measured(self, base, artifact)
            lost = sum(each for word, each in points.items() if word in found.name)
            drop = (found.drop or 0.0) + lost
            excess = self.budget.excess(mb=found.costs["max_mb"], ms=found.latency_ms, drop=drop)
            quality = (found.quality or 0.0) - lost / 100
            return loop.replace(found, quality=quality, drop=drop, excess=excess)

        monkeypatch.setattr(loop.Search, "_measured", lowered)

    return lower


def test_every_shape_is_trained_once_from_the_cheapest_exported_in_two_forms_and_the_winner_copied(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, training: None, worse: Any, tmp_path: Path
) -> None:
    worse({"1x32": 1.0, "2x32": 0.5, "3x32": 0.2})
    lines: list[str] = []
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=50, max_ms=9), progress=lines.append)
    assert names(found) == [f"{layers}x32/{form}" for layers in (1, 2, 3) for form in ("int8", "int8-4bit")]
    assert timed["untrained"] == ["1x32", "2x32", "3x32"] and timed["trained"] == names(found)
    assert [line for line in lines if line.endswith(": training")] == [f"{n}x32: training" for n in (1, 2, 3)]
    assert sum(line.startswith("data: ") for line in lines) == 1
    for each in found.measured:
        assert each.path is not None and each.size_bytes == folder_bytes(each.path)
        assert each.drop == pytest.approx(100 * (found.teacher - (each.quality or 0)))
    assert found.winner is not None and found.artifact == tmp_path / "artifact"
    assert read_artifact(found.artifact).manifest == read_artifact(tmp_path / found.winner.name).manifest
    assert not found.artifact.is_symlink()
    with load(found.artifact) as classifier:
        assert classifier.predict(dataset.test.texts[0]).label in dataset.labels
    stored = json.loads((tmp_path / "search.json").read_text("utf-8"))
    assert stored["result"] == json.loads(json.dumps(found.to_dict()))
    assert found.picture == tmp_path / "frontier.png" and found.picture.stat().st_size > 5000
    assert found.test is not None and found.test["texts"] == len(dataset.test)


def test_dearer_shapes_are_left_out_once_one_within_the_budget_is_as_good_as_the_teacher(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, worse: Any, tmp_path: Path
) -> None:
    worse({"32/": -100.0})
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=5))
    assert names(found, "measured") == ["1x32/int8", "1x32/int8-4bit"]
    assert names(found, "unneeded") == ["2x32", "3x32"]
    assert found.candidates[-1].reason == "1x32/int8 is as good as the teacher already, and smaller"
    assert not (tmp_path / "2x32").exists()


def test_the_same_search_again_trains_exports_and_times_nothing(
    teacher: Run,
    dataset: Dataset,
    recipe: Make,
    timed: Timed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"max_drop": 50, "layers": [1]}
    first = search(teacher, dataset, out=tmp_path, recipe=recipe(**asked))
    before, stamp = len(timed["trained"]), (tmp_path / "artifact" / "manifest.json").stat().st_mtime_ns
    forbid_training(monkeypatch)
    monkeypatch.setattr("liteft.pipeline.export", lambda *_given, **_rest: pytest.fail("exported again"))
    again = search(teacher, dataset, out=tmp_path, recipe=recipe(**asked))
    assert again.to_dict() == first.to_dict()
    assert len(timed["trained"]) == before
    assert (tmp_path / "artifact" / "manifest.json").stat().st_mtime_ns == stamp


def test_another_budget_uses_what_was_trained_and_other_settings_are_an_error(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=50, layers=[1]))
    assert first.winner is not None
    forbid_training(monkeypatch)
    second = search(teacher, dataset, out=tmp_path, recipe=recipe(max_ms=0.9, max_drop=50, layers=[1]))
    assert second.winner is None and names(second, "measured") == names(first)
    assert second.nearest == tuple(each.name for each in second.measured)
    assert second.compromises == ("--max-ms 1: 1x32/int8",)
    assert not (tmp_path / "artifact").exists()  # it was the winner of the first
    with pytest.raises(RunError, match="other settings or data") as refused:
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=50, layers=[1], student={"epochs": 3}))
    assert refused.value.accepted == {"epochs": "6.0 -> 3.0"}


def test_what_does_not_fit_is_trimmed_and_what_cannot_is_never_trained(
    teacher: Run,
    loaded: TorchClassifier,
    dataset: Dataset,
    recipe: Make,
    timed: Timed,
    worse: Any,
    tmp_path: Path,
) -> None:
    worse({"32/": 1.0})  # or one layer would do
    small = sizes_of(loaded.config, loaded.settings, loaded.tokenizer)
    room = small.predict(Variant()) / 1e6 - 0.03  # of three layers; one layer is smaller by more than that
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_mb=room, max_drop=60, layers=[1, 3]))
    assert names(found)[:2] == ["1x32/int8", "1x32/int8-4bit"]
    trimmed, whole = found.candidates[2:]
    assert trimmed.form.startswith("int8-") and trimmed.form != "int8-4bit" == whole.form
    assert found.winner is not None and (found.winner.size_bytes or 0) <= room * 1e6
    pieces = json.loads((tmp_path / trimmed.name / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert len(pieces) == int(trimmed.form.split("-")[1]) > 1000  # texts use 42: the room is filled
    tight = search(teacher, dataset, out=tmp_path / "tight", recipe=recipe(max_mb=0.09, max_drop=60, layers=[1, 3]))
    left = {each.name: each.reason or "" for each in tight.candidates if each.status == "hopeless"}
    assert "3x32" in left and "tokens that have to stay" in left["3x32"]
    assert not (tmp_path / "tight" / "3x32").exists()


def test_narrower_shapes_are_tried_where_no_full_width_can_be_within_the_budget(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "untrained_latency_ms", lambda student, *_given, **_rest: student.config.hidden_size / 8)
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_ms=2.0, layers=[1, 2]))
    assert [(each.shape, each.reason) for each in found.candidates if each.status == "hopeless"] == [
        ("1x32", "4 ms per text before its training"),
        ("2x32", "1x32 takes 4 ms per text, with fewer layers, is too slow already"),
        ("1x24", "3 ms per text before its training"),
        ("2x24", "1x24 takes 3 ms per text, with fewer layers, is too slow already"),
    ]
    assert {each.shape for each in found.measured} == {"1x16", "2x16"}
    assert not (tmp_path / "1x32" / "student").exists()


def test_a_base_into_whose_students_nothing_fits_is_not_fine_tuned(
    base: Path, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no student of this teacher fits"):
        search(base, dataset, out=tmp_path / "out", recipe=recipe(max_mb=0.01))
    assert not (tmp_path / "out").exists()


def test_a_student_far_below_the_teacher_at_half_of_its_steps_is_given_up_and_goes_on_with_a_larger_budget(
    teacher: Run,
    dataset: Dataset,
    recipe: Make,
    timed: Timed,
    training: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = {"learning_rate": 1e-7, "epochs": 4, "augmentation": "mask"}
    asked = {"max_drop": 0.1, "margin": 0.5, "layers": [1], "embedding_bits": [8], "student": slow}
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(**asked))
    (given_up,) = found.candidates
    assert given_up.status == "hopeless" and (given_up.reason or "").startswith("given up at step 12 of 24: accuracy ")
    assert found.winner is None and found.nearest == () and found.picture is None
    run = tmp_path / "1x32" / "student"
    assert not (run / "run.json").exists() and list(run.rglob("checkpoint-12/complete"))
    with monkeypatch.context() as patched:
        forbid_training(patched)
        assert search(teacher, dataset, out=tmp_path, recipe=recipe(**asked)).to_dict() == found.to_dict()
    with pytest.raises(RunError, match="other settings"):
        search(teacher, dataset, out=tmp_path, recipe=recipe(**(asked | {"student": slow | {"epochs": 5}})))
    larger = search(teacher, dataset, out=tmp_path, recipe=recipe(**(asked | {"max_drop": 100})))
    assert names(larger, "measured") == ["1x32/int8"]
    log = (run / "log.jsonl").read_text("utf-8").splitlines()
    evaluated = [json.loads(line)["step"] for line in log if "eval_accuracy" in line]
    assert evaluated == [6, 12, 18, 24] and read_run(run).info["steps"] == 24


def test_where_only_the_export_loses_too_much_float16_is_tried_first(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, worse: Any, tmp_path: Path
) -> None:
    worse({"int8": 90.0})
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=60, layers=[1]))
    assert names(found) == ["1x32/int8", "1x32/int8-4bit", "1x32/fp16"]
    assert found.winner is not None and found.winner.name == "1x32/fp16"
    assert found.rule == "the only one within the budget"


def test_the_last_resort_is_a_few_epochs_in_the_form_itself_with_its_vocabulary(
    teacher: Run,
    loaded: TorchClassifier,
    dataset: Dataset,
    recipe: Make,
    timed: Timed,
    worse: Any,
    tmp_path: Path,
) -> None:
    worse({"int8": 80.0, "4bit": 5.0, "tuned": -80.0})
    room = 0.1
    asked = {"max_mb": room, "max_drop": 60, "layers": [1], "quantized_epochs": 1}
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(**asked))
    first, second, third = found.candidates
    assert first.form == f"int8-{first.form.split('-')[1]}" and second.form.startswith("int8-4bit")
    assert third.form == f"{first.form}-tuned"  # the better of the two
    assert found.winner is third
    tuned = read_run(tmp_path / "1x32" / f"student-{first.form}")
    assert tuned.info["quantized"]["embedding_bits"] == 8
    assert tuned.info["vocabulary"]["trimmed"] == "before distillation"
    assert read_artifact(tmp_path / third.name).manifest.verification["weights_sha256"] == tuned.info["weights_sha256"]
    assert search(teacher, dataset, out=tmp_path, recipe=recipe(**asked)).to_dict() == found.to_dict()


def test_no_epochs_are_added_where_the_student_itself_is_not_good_enough_or_they_are_off(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, worse: Any, tmp_path: Path
) -> None:
    worse({"int8": 90.0, "fp16": 90.0})
    off = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=60, layers=[1], quantized_epochs=0))
    assert names(off) == ["1x32/int8", "1x32/int8-4bit", "1x32/fp16"] and off.winner is None
    weak = {"learning_rate": 1e-7, "augmentation": "mask"}
    bad = search(
        teacher, dataset, out=tmp_path / "bad", recipe=recipe(max_drop=0, margin=100, layers=[1], student=weak)
    )
    assert names(bad) == ["1x32/int8", "1x32/int8-4bit"]


def test_an_export_that_its_gate_refuses_is_kept_with_the_reason_and_not_tried_again(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = loop.export_student
    tried: list[str] = []

    def refusing(student: Any, out: Path, settings: Any, data: Any, progress: Any, **rest: Any) -> Any:
        tried.append(out.name)
        if settings.export.embedding_bits == 4:
            raise VerificationError("it does not agree.", accepted={"same answer as the model": "50%"})
        return exported(student, out, settings, data, progress, **rest)

    monkeypatch.setattr(loop, "export_student", refusing)
    asked = recipe(max_drop=60, layers=[1])
    found = search(teacher, dataset, out=tmp_path, recipe=asked)
    assert [(each.form, each.status, each.reason) for each in found.candidates] == [
        ("int8", "measured", None),
        ("int8-4bit", "refused", "it does not agree.; same answer as the model 50%"),
    ]
    tried.clear()
    assert search(teacher, dataset, out=tmp_path, recipe=asked).to_dict() == found.to_dict()
    assert tried == ["int8"]


def test_another_precision_than_int8_is_the_only_one(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path
) -> None:
    asked = recipe(max_drop=60, layers=[1], export={"precision": "fp32"})
    assert names(search(teacher, dataset, out=tmp_path, recipe=asked)) == ["1x32/fp32"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "a search needs a budget"),
        ({"max_mb": 9, "student": {"seeds": 2}}, "cannot be combined with 2 seeds"),
        ({"max_mb": 9, "student": {"control": True}}, "cannot be combined with a control"),
        ({"max_mb": 9, "student": {"arms": ["c1"]}}, "cannot be combined with arms"),
        ({"max_mb": 9, "student": {"folds": 5}}, "cannot be combined with folds"),
        ({"max_mb": 9, "student": {"student": "x"}}, "cannot be combined with a student encoder"),
        ({"max_mb": 9, "export": {"vocabulary": 900}}, "cannot be combined with a vocabulary for the export"),
        ({"max_mb": 9, "export": {"target": "triton"}}, "cannot be combined with a model repository"),
        ({"max_mb": 9, "layers": [4]}, "a student of 4x32 is larger than its teacher"),
        ({"max_mb": 9, "layers": [1], "student": {"size": "2"}}, "size = 2 is one shape"),
        ({"max_mb": 9, "widths": [20]}, "a student of width 20 cannot be cut out"),
    ],
)
def test_settings_that_do_not_go_with_a_search_are_refused_before_anything_is_written(
    settings: Any, message: str, teacher: Run, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(teacher, dataset, out=tmp_path / "out", recipe=recipe(**settings))
    assert not (tmp_path / "out").exists()


def test_an_artifact_that_no_search_wrote_is_not_replaced(
    teacher: Run, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    (tmp_path / "artifact").mkdir()
    with pytest.raises(RunError, match=r"no search in .* wrote it"):
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_mb=9))
    (tmp_path / "search.json").write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(RunError, match=r"search.json cannot be read"):
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_mb=9))


def test_a_winner_is_replaced_unless_something_else_took_its_place_or_lies_beside_it(
    teacher: Run, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    copied = write(tmp_path / "artifact").path
    SearchState(tmp_path).note_winner(files.sha256_file(copied / "manifest.json"))
    (copied / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match="not part of the artifact"):
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_mb=9))
    (copied / "notes.txt").unlink()
    write(copied, max_tokens=9)
    with pytest.raises(RunError, match=r"no search in .* wrote it"):
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_mb=9))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "search.json"]


def test_with_several_labels_a_text_micro_f1_is_the_quality_and_a_folder_may_teach(
    base: Path, tiny: ModuleType, recipe: Make, timed: Timed, tmp_path: Path
) -> None:
    data = tiny.make_multi()
    taught = finetune(base, data, out=tmp_path / "taught", **tiny.QUICK | {"epochs": 6})
    asked = recipe(max_drop=80, layers=[1], embedding_bits=[8])
    found = search(taught.model_path, data, out=tmp_path / "out", recipe=asked)
    assert found.metric == "micro_f1" and found.teacher == pytest.approx(
        taught.metrics["validation"]["micro_f1"], abs=1e-6
    )
    (made,) = found.measured
    manifest = read_artifact(tmp_path / "out" / made.name).manifest
    assert manifest.task == "multi_label" and made.within and "micro F1 %" in found.render()
    assert not (tmp_path / "out" / "teacher").exists()


def test_scores_are_searched_by_their_correlation(
    base: Path, tiny: ModuleType, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path
) -> None:
    splits = {
        name: Split(name, split.texts, None, 40.0 * np.asarray(split.labels) + 20)
        for name, split in dataset.splits.items()
    }
    data = Dataset("topics", "scores", ("score",), splits)  # type: ignore[arg-type]
    taught = finetune(base, data, out=tmp_path / "taught", **tiny.QUICK | {"epochs": 6})
    found = search(taught, data, out=tmp_path / "out", recipe=recipe(max_drop=80, layers=[1], embedding_bits=[8]))
    assert found.metric == "spearman" and "spearman %" in found.render()
    (made,) = found.measured
    manifest = read_artifact(tmp_path / "out" / made.name).manifest
    assert (manifest.task, manifest.activation) == ("scores", "none") and made.within
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_verb_is_a_public_name_and_its_settings_lie_over_the_recipe(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path
) -> None:
    found = liteft.search(
        teacher, dataset, out=tmp_path, recipe=recipe(max_drop=1), max_drop=60, layers=[1], embedding_bits=[4]
    )
    assert names(found) == ["1x32/int8-4bit"]
    with pytest.raises(ConfigError, match="unknown key"):
        liteft.search(teacher, dataset, out=tmp_path, max_megabytes=1)


def with_a_pattern(teacher: Run, folder: Path) -> Run:
    """Return a copy of a teacher whose tokenizer splits by a regular expression that is may take exponential time."""
    shutil.copytree(teacher.path, folder)
    add_pattern(folder / "model")
    return read_run(folder)


def test_what_is_refused_for_want_of_trust_ends_the_search_and_the_same_with_trust_goes_on(
    teacher: Run, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    strange = with_a_pattern(teacher, tmp_path / "teacher")
    wanted = recipe(max_drop=90, max_ms=1000, layers=[1], embedding_bits=[8])
    out = tmp_path / "out"
    with pytest.raises(LiteftError, match="may take exponential time") as refused:
        search(strange, dataset, out=out, recipe=wanted)
    assert refused.value.command_hints()[0].startswith("--trust")
    with pytest.raises(VerificationError, match="would be refused by a service"):
        search(strange, dataset, out=out, recipe=recipe(max_drop=90, layers=[1], embedding_bits=[8]))
    found = search(strange, dataset, out=out, recipe=wanted, trust=True)
    assert names(found, "measured") == ["1x32/int8"] and found.test is not None
    with load(out / "artifact", trust=True) as classifier:
        assert classifier.predict(dataset.validation.texts[0]).label in dataset.labels


def test_a_family_that_cannot_be_shrunk_is_searched_at_its_width_alone(
    tiny: ModuleType, dataset: Dataset, recipe: Make, tmp_path: Path
) -> None:
    base = tiny.write_base(tmp_path / "base", "gpt2")
    with pytest.raises(ModelError, match=r"no student of this teacher fits into 0.001 MB"):
        search(str(base), dataset, out=tmp_path / "out", recipe=recipe(max_mb=0.001))
    with pytest.raises(ModelError, match="no known role") as refused:
        search(str(base), dataset, out=tmp_path / "out", recipe=recipe(max_mb=0.001, widths=[16]))
    assert refused.value.command_hints() == ["leave out --set search.widths"]


def test_a_search_that_was_killed_between_two_exports_goes_on_with_the_second(
    teacher: Run, dataset: Dataset, recipe: Make, timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loop.Search._made

    def killed(self: loop.Search, planned: Any, form: Variant, student: Run) -> Any:
        if form.form.embedding_bits == 4:
            os._exit(9)  # as a kill: nothing is cleaned up
        return made(self, planned, form, student)

    child = os.fork()
    if not child:
        torch.set_num_threads(1)  # the parent's others are not there after a fork, and would be waited for
        monkeypatch.setattr(loop.Search, "_made", killed)
        search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=60, layers=[1]))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    facts = json.loads((tmp_path / "search.json").read_text("utf-8"))
    assert list(facts["facts"]["measured"]) == ["1x32/int8"] and facts["result"] == {}
    forbid_training(monkeypatch)
    found = search(teacher, dataset, out=tmp_path, recipe=recipe(max_drop=60, layers=[1]))
    assert names(found, "measured") == ["1x32/int8", "1x32/int8-4bit"]
    assert timed["trained"] == ["1x32/int8-4bit"]
