"""finetune, distill and demo: what they hand to the library and what they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import liteft
from liteft.artifact import Artifact
from liteft.data import Dataset
from liteft.distilled import Distillation
from liteft.run import Run

COLUMNS = ["--text", "body", "--label", "stars"]


@pytest.fixture
def made() -> list[Distillation]:
    """What the replaced ``liteft.distill`` has returned."""
    return []


@pytest.fixture
def pipelines(
    monkeypatch: pytest.MonkeyPatch, make_run: Any, make_artifact: Any, made: list[Distillation]
) -> list[dict[str, Any]]:
    """Replace ``liteft.distill``; the calls that it got."""
    calls: list[dict[str, Any]] = []
    checked = {"split": "validation", "texts": 6, "agreement": 1.0, "accuracy": 0.9, "model_accuracy": 0.91}

    def distill(teacher: Any, data: Any, *, out: Any, **settings: Any) -> Any:
        out = Path(out)
        calls.append({"teacher": teacher, "data": data, "out": out, **settings})
        students = tuple(
            make_run(out / name, kind="student", seed=seed, right=91 - seed)
            for seed, name in enumerate(("student", "student-seed1"))
        )
        control = make_run(out / "student-control", kind="control", right=70)
        artifact = make_artifact(out / "artifact", verification=checked)
        made.append(
            Distillation(make_run(out / "teacher"), {"student": students, "control": (control,)}, artifact, data)
        )
        return made[-1]

    monkeypatch.setitem(vars(liteft), "distill", distill)
    return calls


def test_finetune_hands_over_data_base_and_recipe(call: Any, reviews: Path, trained: list[Any], tmp_path: Path) -> None:
    words = ["--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / "run", "--epochs", "2"]
    called = call("finetune", *words, "--seed", "5", "--set", "teacher.warmup=0.2")
    assert called.status == 0, called.err
    (handed,) = trained
    assert handed["base"] == "minilm"
    assert isinstance(handed["data"], Dataset)
    recipe = handed["recipe"]
    assert recipe.data.source == str(reviews)
    assert (recipe.teacher.epochs, recipe.teacher.seed, recipe.teacher.warmup) == (2, 5, 0.2)


def test_results_go_to_stdout_and_progress_and_the_next_command_to_stderr(
    call: Any, reviews: Path, trained: list[Any], tmp_path: Path
) -> None:
    called = call("finetune", "--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / "run")
    assert "91.0 [88.0, 93.0]" in called.out
    assert "step" not in called.out and "next:" not in called.out
    assert "teacher: step 1" in called.err
    following = called.err.splitlines()[-1]
    assert following.startswith(f"next: liteft distill --data {reviews} --text body --label stars --teacher")
    assert "--size 3 " in following


def test_json_is_one_document_and_quiet_says_nothing(
    call: Any, reviews: Path, trained: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / "run", "--json", "--quiet"]
    called = call("finetune", *words)
    assert called.err == ""
    assert called.document["kind"] == "teacher"
    assert called.document["metrics"]["test"]["accuracy"] == 0.91
    assert called.document["next"].startswith("liteft distill")


def test_only_one_process_of_several_speaks(
    call: Any, reviews: Path, trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    called = call("finetune", "--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / "run")
    assert (called.status, called.out, called.err) == (0, "", "")


def test_the_same_command_hands_over_the_same_recipe(
    call: Any, reviews: Path, trained: list[Any], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        words = ["--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / name]
        call("finetune", *words, "--learning-rate", "5e-5", "--set", "teacher.dropout=0.2")
    assert trained[0]["recipe"] == trained[1]["recipe"]


def test_processes_and_engines_are_handed_over(
    call: Any, reviews: Path, trained: list[Any], pipelines: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS]
    assert call("finetune", *words, "--base", "minilm", "--processes", "2", "--out", tmp_path / "two").status == 0
    assert call("finetune", *words, "--base", "minilm", "--out", tmp_path / "one").status == 0
    assert [handed["processes"] for handed in trained] == [2, 1]
    distill = ["distill", *words, "--teacher", "minilm", "--size", "3"]
    assert call(*distill, "--processes", "2", "--out", tmp_path / "made").status == 0
    assert call(*distill, "--engine", "ray", "--out", tmp_path / "tasks").status == 0
    assert [(handed["processes"], handed["engine"]) for handed in pipelines] == [(2, "local"), (1, "ray")]


def test_finetune_without_data_says_how_to_name_them(call: Any, trained: list[Any]) -> None:
    called = call("finetune", "--base", "minilm", "--out", "x")
    assert called.status == 2
    assert "no data was given" in called.err


@pytest.mark.parametrize(
    ("words", "said", "tried"),
    [
        (["finetune"], "starts either from a base or from scratch", "--base minilm"),
        (["finetune", "--from-scratch"], "needs a size and a vocabulary", "--from-scratch --size 4x256"),
        (["distill", "--teacher", "minilm"], "either a size or an encoder of its own", "--size 3x384"),
        (["distill", "--teacher", "minilm", "--size", "3", "--epochs", "0"], "no epochs learns nothing", "--epochs 6"),
    ],
)
def test_what_no_data_can_mend_is_said_before_data_and_torch_are_read(
    tmp_path: Path, words: list[str], said: str, tried: str
) -> None:
    code = "import sys; from liteft.cli import main; status = main(sys.argv[1:]); "
    code += "sys.exit(9 if 'torch' in sys.modules else status)"
    command = [sys.executable, "-c", code, *words, "--data", "nowhere.csv", "--out", "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert said in done.stderr and f"try: {tried}" in done.stderr


def test_distill_hands_over_the_students_settings_and_shared_ones_to_both(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "3x384", "--out", tmp_path / "o"]
    words += ["--epochs", "8", "--layers", "0,2,5", "--control", "--seeds", "2", "--seed", "7", "--threads", "1"]
    words += ["--training-precision", "fp32", "--precision", "fp16", "--flat", "--tolerance", "1.5"]
    words += ["--until", "student", "--max-tokens", "64"]
    called = call("distill", *words, "--set", "teacher.epochs=2")
    assert called.status == 0, called.err
    (handed,) = pipelines
    recipe = handed["recipe"]
    assert (handed["teacher"], handed["until"], handed["out"]) == (["minilm"], "student", tmp_path / "o")
    assert isinstance(handed["data"], Dataset)
    assert (recipe.student.size, recipe.student.layers, recipe.student.epochs) == ("3x384", [0, 2, 5], 8)
    assert (recipe.student.control, recipe.student.seeds) == (True, 2)
    assert (recipe.teacher.epochs, recipe.teacher.max_tokens) == (2, 64)
    assert (recipe.export.precision, recipe.export.flat, recipe.export.tolerance) == ("fp16", True, 1.5)
    for table in (recipe.teacher, recipe.student):
        assert (table.seed, table.threads, table.training_precision) == (7, 1, "fp32")


def test_the_students_flags_without_a_student_are_refused_and_otherwise_told(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--until", "teacher", "--epochs", "8"]
    called = call("distill", *words, "--out", tmp_path / "o")
    assert called.status == 2 and not pipelines
    assert "--epochs: of the student's training" in called.err and "try: --set teacher.epochs=8" in called.err
    exact = call("distill", *words, "--learning-rate", "0.000123456789", "--out", tmp_path / "o")
    assert "--set teacher.epochs=8 --set teacher.learning_rate=0.000123456789\n" in exact.err
    called = call("distill", *words, "--size", "3", "--out", tmp_path / "o")
    assert called.status == 0 and len(pipelines) == 1
    assert "--epochs: of the student, which --until teacher does not train" in called.err


def test_distill_ends_with_every_run_the_verified_artifact_and_a_comparison(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    out = tmp_path / "o"
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "3", "--out", out]
    called = call("distill", *words, "--trust")
    assert called.status == 0, called.err
    assert pipelines[0]["trust"] is True
    for name in ("teacher", "student", "student-seed1", "student-control"):
        assert f"{out / name} " in called.out
    assert "same answer as the model on 100.00% of 6 texts" in called.out
    folders = [out / name for name in ("teacher", "student", "student-seed1", "student-control", "artifact")]
    assert called.err.splitlines()[-1] == f"next: liteft compare {' '.join(map(str, folders))} --on {reviews} --trust"


def test_after_folds_no_comparison_follows_as_every_text_was_trained_on(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "3", "--folds", "3"]
    called = call("distill", *words, "--out", tmp_path / "o", "--trust")
    assert called.err.splitlines()[-1] == f"next: liteft predict {tmp_path / 'o' / 'artifact'} 'a text' --trust"


def test_distill_says_what_the_seeds_and_the_control_show(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "3"]
    called = call("distill", *words, "--out", tmp_path / "o")
    assert called.status == 0, called.err
    shown = next(line.split() for line in called.out.splitlines() if line.startswith("student - control"))
    assert shown[4] == "+20.50"  # 91 and 90 of 100 right, and 70
    assert shown[-2:] == ["excludes", "zero"]
    assert "there is one control (C1)" in called.out
    document = call("distill", *words, "--out", tmp_path / "again", "--json").document
    assert [row["seeds"] for row in document["seeds"]["rows"]] == [[0, 1], [0], [0]]
    assert document["seeds"]["differences"][0]["excludes_zero"] is True


def test_distill_prints_the_text_and_the_data_of_its_result(
    call: Any, reviews: Path, pipelines: list[Any], made: list[Distillation], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "3"]
    assert call("distill", *words, "--out", tmp_path / "text").out == f"{made[-1].render()}\n"
    document = call("distill", *words, "--out", tmp_path / "json", "--json").document
    assert document.pop("next").startswith("liteft compare")
    assert document == made[-1].to_dict()


def test_finetune_prints_the_text_of_its_run(call: Any, reviews: Path, trained: list[Any], tmp_path: Path) -> None:
    words = ["--data", reviews, *COLUMNS, "--base", "minilm", "--out", tmp_path / "run"]
    shown = call("finetune", *words).out
    document = call("finetune", *words[:-1], tmp_path / "again", "--json").document
    del document["next"]
    run = Run(Path(document.pop("path")).with_name("run"), document)
    assert shown == f"{run.render()}\n"


def test_distill_takes_the_teacher_of_the_recipe(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f'[data]\nsource = "{reviews}"\ntext = "body"\nlabel = "stars"\n[teacher]\nbase = "minilm"\n')
    called = call("distill", "--recipe", file, "--size", "3", "--out", tmp_path / "o", "--json")
    assert called.status == 0, called.err
    assert pipelines[0]["teacher"] == ["minilm"]
    assert [run["kind"] for run in called.document["arms"]["student"]] == ["student", "student"]
    assert called.document["artifact"]["manifest"]["form"]["precision"] == "fp32"


def test_general_texts_are_named_once_or_more_and_local_ones_by_their_absolute_paths(
    call: Any, reviews: Path, pipelines: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a text\n")
    words = ["--data", reviews, "--text", "body", "--label", "stars", "--teacher", "minilm", "--size", "3"]
    called = call("distill", *words, "--general", "texts.txt", "--general", "owner/texts", "--out", "o", "--json")
    assert called.status == 0, called.err
    assert pipelines[0]["recipe"].student.general == [str(tmp_path / "texts.txt"), "owner/texts"]


def test_distill_without_a_teacher_and_with_an_unknown_stage_ends_with_status_2(
    call: Any, reviews: Path, pipelines: list[Any]
) -> None:
    words = ["--data", reviews, *COLUMNS, "--size", "3", "--out", "o"]
    assert call("distill", *words).status == 2
    called = call("distill", *words, "--teacher", "minilm", "--until", "studnt")
    assert called.status == 2
    assert "try: --until student" in called.err
    assert pipelines == []


def test_demo_prints_what_it_made_and_names_its_artifact(
    call: Any, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = []

    def run_demo(out: Path, *, task: str = "single_label", overwrite: bool, progress: Any) -> Any:
        tasks.append(task)
        assert overwrite == (out.name == "again")
        progress("training")
        (out / "artifact").mkdir(parents=True)
        return SimpleNamespace(render=lambda: "a table", to_dict=lambda: {"seconds": 1})

    monkeypatch.setitem(sys.modules, "liteft.demo", SimpleNamespace(run_demo=run_demo))
    called = call("demo", "--out", tmp_path / "demo")
    assert (called.status, called.out) == (0, "a table\n")
    assert "training" in called.err
    assert f"next: liteft predict {tmp_path / 'demo' / 'artifact'}" in called.err
    words = ["--task", "tokens", "--out", tmp_path / "again", "--overwrite", "--json"]
    assert call("demo", *words).document["seconds"] == 1
    assert tasks == ["single_label", "tokens"]
