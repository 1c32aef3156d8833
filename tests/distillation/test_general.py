"""General distillation: an encoder that imitates the base on plain texts, and the arms that start from it."""

from __future__ import annotations

import json
import multiprocessing
import runpy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, TrainerCallback

import liteft
from liteft.cross_validated import cross_validate
from liteft.data import Dataset
from liteft.distillation.distilling import Students, distill_students
from liteft.distillation.general import plan_general
from liteft.distillation.teachers import find_teacher
from liteft.errors import ConfigError, DataError, LiteftError, ModelError, RunError
from liteft.finetuning.context import RunContext
from liteft.finetuning.model import WEIGHTS
from liteft.pretraining import Pretrained, read_pretrained
from liteft.recipes import Recipe, SearchRecipe, StudentRecipe, TeacherRecipe
from liteft.report import seeds_table
from liteft.run import Run
from tests.cache import Cache

SCRIPT = Path(__file__).with_name("general_process.py")
GENERAL: dict[str, Any] = {
    "size": "2",
    "general_learning_rate": 5e-3,
    "batch_size": 16,
    "checkpoint_steps": 4,
    "training_precision": "fp32",
}
"""Settings of a general distillation of 19 steps on ``texts``."""
STEPS = 19
STILL: dict[str, Any] = {**GENERAL, "epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
"""The same, and students whose weights stay those of their start."""
NAME = "encoder.layer.1.output.dense.weight"


@pytest.fixture(scope="session")
def texts(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 300 texts without labels."""
    path = tmp_path_factory.mktemp("general") / "texts.txt"
    path.write_text("\n".join(tiny.make_texts(300, seed=77)[0]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(base: Path, texts: Path, cache: Cache) -> Pretrained:
    """A general distillation into two layers, never interrupted. Read it only."""
    return read_pretrained(cache("general-run", lambda out: general(base, texts, out)))


def general(
    teacher: Run | Path, texts: Path, out: Path, *, callbacks: list[Any] | None = None, **settings: Any
) -> Pretrained:
    recipe = recipe_of(texts, **(GENERAL | settings))
    planned = plan_general(find_teacher(teacher, recipe=recipe), recipe)
    return planned.run(RunContext(out, callbacks=callbacks or []))


def recipe_of(texts: Path, **settings: Any) -> Recipe:
    return Recipe(teacher=TeacherRecipe(max_tokens=16), student=StudentRecipe(general=str(texts), **settings))


def trained(teacher: Run | Path, dataset: Dataset, out: Path, texts: Path, **settings: Any) -> Students:
    recipe = recipe_of(texts, **(STILL | settings))
    return distill_students(teacher, dataset, recipe, RunContext(out / "student"), teacher_out=out / "teacher")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / WEIGHTS).items()}


def facts(run: Pretrained) -> dict[str, Any]:
    return {name: value for name, value in run.info.items() if name not in ("seconds", "training_seconds")}


class Interrupting(TrainerCallback):
    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == 7:
            signal.raise_signal(signal.SIGINT)


def test_the_encoder_comes_nearer_to_the_base_and_the_result_says_how_near(finished: Pretrained, base: Path) -> None:
    before, after = finished.info["general"]["before"], finished.metrics["validation"]
    assert finished.info["steps"] == STEPS and finished.info["data"]["texts"] == 300
    assert finished.info["best_metric"]["imitation_loss"] == pytest.approx(after["imitation_loss"], rel=1e-4)
    for name in ("relation_loss", "hidden_loss"):
        assert after[name] < 0.8 * before[name], name
    assert f"distilled from {base.name} on 300 texts" in str(finished)
    assert json.loads(json.dumps(finished.to_dict()))["general"]["before"] == before


def test_transformers_reads_the_encoder_which_has_no_projections(finished: Pretrained) -> None:
    model, told = AutoModel.from_pretrained(finished.model_path, add_pooling_layer=False, output_loading_info=True)
    assert model.config.num_hidden_layers == 2
    assert not told["missing_keys"] and not told["unexpected_keys"]


def test_a_finished_one_is_not_trained_again_and_other_settings_are_refused(
    finished: Pretrained, base: Path, texts: Path, teacher: Run
) -> None:
    again = general(base, texts, finished.path, callbacks=[Interrupting()])
    assert again.info == finished.info
    with pytest.raises(RunError, match="a finished run with other settings") as caught:
        general(base, texts, finished.path, general_epochs=2.0)
    assert caught.value.accepted == {"epochs": "1.0 -> 2.0"}
    with pytest.raises(RunError, match="a finished run with other settings") as caught:
        general(base, texts, finished.path, layers="spread")
    assert caught.value.accepted == {"layers": "auto -> spread"}


def test_an_interrupted_one_ends_in_the_same_bits(
    finished: Pretrained, base: Path, texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        general(base, texts, tmp_path / "run", callbacks=[Interrupting()])
    assert facts(general(base, texts, tmp_path / "run")) == facts(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "call", "after"),
    [
        ("liteft.finetuning.resumable:mark_complete", 2, True),
        ("liteft.pretraining.corpus:pack", 1, True),
        ("liteft.pretraining.training:model_weights", 1, False),
    ],
)
def test_a_killed_one_ends_in_the_same_bits(
    finished: Pretrained, base: Path, texts: Path, tmp_path: Path, function: str, call: int, after: bool
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liteft.finetuning"])
    request = {"base": str(base), "out": str(tmp_path / "run"), "recipe": recipe_of(texts, **GENERAL).model_dump()}
    request |= {"function": function, "call": call, "after": after}
    process = context.Process(
        target=runpy.run_path,
        args=(str(SCRIPT),),
        kwargs={"init_globals": {"REQUEST": request}, "run_name": "general_process"},
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "run" / "run.json").exists()
    assert facts(general(base, texts, tmp_path / "run")) == facts(finished)


def test_student_and_arms_start_from_it_and_say_so(
    teacher: Run, base: Path, dataset: Dataset, texts: Path, tmp_path: Path
) -> None:
    made = trained(teacher, dataset, tmp_path, texts, arms=["c0", "c1", "c2"])
    assert made.general is not None and made.general.path == tmp_path / "general"
    start = weights(made.general.model_path)[NAME]
    assert not torch.allclose(start, weights(teacher.model_path)[NAME], atol=1e-4)
    assert not torch.allclose(start, weights(base)[NAME], atol=1e-4)
    for kind, (run,) in made.arms.items():
        assert torch.allclose(weights(run.model_path)[NAME], start, atol=1e-5), kind
        assert run.start == "the base, distilled on unlabelled texts without the task, and a new head"
    table = str(seeds_table([run for runs in made.arms.values() for run in runs]))
    assert "control (C1): starts from the base, distilled on unlabelled texts without the task" in table
    assert "the teacher's layers" not in table


def test_the_base_is_imitated_and_not_the_teacher_that_was_made_of_it(
    finished: Pretrained, teacher: Run, texts: Path, tmp_path: Path
) -> None:
    of_run = general(teacher, texts, tmp_path / "run")
    assert of_run.info["weights_sha256"] == finished.info["weights_sha256"]


def test_a_narrower_student_imitates_by_projections_in_bfloat16(base: Path, texts: Path, tmp_path: Path) -> None:
    made = general(base, texts, tmp_path / "run", size="1x16", training_precision="bf16")
    assert made.info["precision"] == "bf16"
    assert weights(made.model_path)["embeddings.word_embeddings.weight"].shape[1] == 16
    assert made.metrics["validation"]["imitation_loss"] < made.info["general"]["before"]["imitation_loss"]


def test_an_encoder_of_its_own_goes_on_from_its_weights(
    finished: Pretrained, base: Path, tiny: Any, texts: Path, tmp_path: Path
) -> None:
    own = tiny.write_base(tmp_path / "own", "bert", num_hidden_layers=1)
    made = general(base, texts, tmp_path / "run", size=None, student=str(own), general_learning_rate=1e-9)
    assert torch.allclose(weights(made.model_path)["encoder.layer.0.output.dense.weight"],
                          weights(own)["encoder.layer.0.output.dense.weight"], atol=1e-5)  # fmt: skip
    assert made.info["general"]["encoder"] and made.info["general"]["layers"] is None


def test_an_encoder_with_another_tokenizer_is_refused_before_anything_is_trained(
    base: Path, dataset: Dataset, tiny: Any, texts: Path, tmp_path: Path
) -> None:
    own = tiny.write_base(tmp_path / "own", "bert")
    path = own / "tokenizer.json"
    path.write_text(path.read_text().replace('"w1"', '"W1"'))
    with pytest.raises(ConfigError, match="reads texts as other tokens than the base") as caught:
        trained(base, dataset, tmp_path / "out", texts, size=None, student=str(own))
    assert caught.value.accepted and caught.value.fix
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("teacher_of", "message"),
    [
        (lambda teacher: teacher.model_path, "does not say what that is"),
        (lambda teacher: teacher, "has other weights than when"),
    ],
)
def test_a_base_that_is_not_known_or_has_changed_is_refused(
    teacher: Run,
    dataset: Dataset,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    teacher_of: Callable[[Run], Any],
    message: str,
) -> None:
    monkeypatch.setattr("liteft.distillation.raw_start.weights_hash", lambda _: "0" * 64)
    with pytest.raises(LiteftError, match=message) as caught:
        trained(teacher_of(teacher), dataset, tmp_path / "out", texts)
    assert "leave out --general" in caught.value.command_text()
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_refused_before_the_teacher_is_trained(
    base: Path, teacher: Run, dataset: Dataset, tiny: Any, texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        trained(base, dataset, tmp_path / "out", tmp_path / "none.txt")
    blank = tmp_path / "blank.txt"
    blank.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="there is no text to learn from"):
        trained(base, dataset, tmp_path / "out", blank)
    decoder = tiny.write_base(tmp_path / "decoder", "gpt2")
    with pytest.raises(ConfigError, match="which this family lacks"):
        trained(decoder, dataset, tmp_path / "out", texts)
    with pytest.raises(ConfigError, match="is a classifier"):
        trained(base, dataset, tmp_path / "out", texts, size=None, student=str(teacher.model_path))
    with pytest.raises(ConfigError, match="deeper than its teacher"):
        trained(base, dataset, tmp_path / "out", texts, size="9")
    recipe = recipe_of(texts, **GENERAL).model_copy(update={"search": SearchRecipe(max_mb=5)})
    with pytest.raises(ConfigError, match="a task-free stage"):
        liteft.search(teacher, dataset, out=tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_a_number_fails(base: Path, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="general: the loss is") as caught:
        general(base, texts, tmp_path / "run", general_learning_rate=1e30)
    assert "student.general_learning_rate" in caught.value.command_text()


@pytest.mark.slow
def test_folds_share_one(
    base: Path, dataset: Dataset, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.cross_validated.can_train", lambda: False)
    recipe = recipe_of(texts, **STILL, folds=2, max_steps=2).model_copy(
        update={"teacher": TeacherRecipe(max_steps=2, max_tokens=16)}
    )
    told = list[str]()
    crossed = cross_validate(base, dataset, recipe, RunContext(tmp_path, told.append))
    assert sum(line.startswith("general: step 19/19") for line in told) == 1
    assert not list(tmp_path.glob("fold*/general"))
    assert "starts from the base, distilled on unlabelled texts" in str(crossed)
    assert crossed.texts == len(dataset.train) + len(dataset.validation)
