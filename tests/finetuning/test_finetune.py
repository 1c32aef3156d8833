"""Fine-tuning from end to end, and everything that must stop it before it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, TrainerCallback

import liteft
from liteft.data import Dataset, Split
from liteft.errors import ConfigError, DataError, LiteftError, ModelError, RunError
from liteft.finetuning import finetune
from liteft.finetuning import run_folder as run_folder_module
from liteft.finetuning.logits import pad_batch, predict_logits
from liteft.finetuning.model import load_classifier
from liteft.finetuning.trainer import ClassifierTrainer
from liteft.pipeline import distill
from liteft.recipes import Recipe, TeacherRecipe
from liteft.run import Run, read_run
from tests.finetuning.conftest import FAMILIES, LABELS, QUICK, make_dataset, make_multi, make_paired

Get = Callable[[str], Path]
SCRIPT = Path(__file__).with_name("training_process.py")


def refused(kind: type[LiteftError], match: str, base: Any, data: Any, out: Path, **settings: Any) -> LiteftError:
    """Assert that a call fails with an error of three parts and leaves nothing behind; return the error."""
    with pytest.raises(kind, match=match) as caught:
        finetune(base, data, out=out, **{**QUICK, **settings})
    assert not out.exists()
    assert caught.value.accepted or caught.value.fix
    return caught.value


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_and_comes_back_from_its_folder(
    base: Get, dataset: Dataset, tmp_path: Path, family: str, pooling: str
) -> None:
    run = finetune(base(family), dataset, out=tmp_path / "run", **{**QUICK, "pooling": pooling, "dropout": 0.0})
    assert run.metrics["test"]["accuracy"] > 0.6
    loaded = load_classifier(run.model_path)
    assert loaded.settings.pooling == ("last" if family == "gpt2" else pooling)
    np.testing.assert_array_equal(predict_logits(loaded, dataset.test.texts), run.predictions("test")[0])


def test_transformers_classifies_alike_from_the_finished_folder(finished: Run, dataset: Dataset) -> None:
    theirs = AutoModelForSequenceClassification.from_pretrained(finished.model_path).eval()
    ours = load_classifier(finished.model_path)
    rows = range(len(dataset.test))
    batch = pad_batch(ours.tokenizer.encode(dataset.test.texts), rows, pad_id=0, types=True)
    with torch.no_grad():
        np.testing.assert_allclose(theirs(**batch).logits, finished.predictions("test")[0], atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_pairs_are_trained_on(base: Get, tmp_path: Path, family: str) -> None:
    data = make_paired()
    run = finetune(base(family), data, out=tmp_path / "run", **{**QUICK, "max_tokens": 32, "pooling": "mean"})
    assert run.info["paired"] is True
    loaded = load_classifier(run.model_path)
    assert loaded.settings.paired
    logits = predict_logits(loaded, data.test.texts, data.test.pairs)
    np.testing.assert_array_equal(logits, run.predictions("test")[0])
    swapped = predict_logits(loaded, data.test.pairs, data.test.texts)  # type: ignore[arg-type]
    assert np.abs(swapped - logits).max() > 1e-4


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_several_labels_a_text_are_learned(base: Get, tmp_path: Path, family: str) -> None:
    run = finetune(base(family), make_multi(), out=tmp_path / "run", **{**QUICK, "epochs": 4, "max_tokens": 32})
    assert run.task == "multi_label"
    logits, gold = run.predictions("test")
    assert gold.dtype == bool
    assert ((logits > 0) == gold).mean() > max(gold.mean(), 1 - gold.mean())
    config = json.loads((run.model_path / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"


def test_training_rows_are_learned_by_the_probabilities_of_their_labels(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, torch.Tensor]] = []
    original = ClassifierTrainer.gold_loss

    def gold_loss(self: ClassifierTrainer, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((torch.is_grad_enabled(), labels))
        return original(self, logits, labels)

    monkeypatch.setattr(ClassifierTrainer, "gold_loss", gold_loss)
    soft = np.random.default_rng(0).dirichlet(np.ones(len(dataset.labels)), len(dataset.train)).astype(np.float32)
    splits = {**dataset.splits, "train": replace(dataset.train, soft_labels=soft, labels=soft.argmax(axis=1))}
    run = finetune(base("bert"), replace(dataset, splits=splits), out=tmp_path / "run", **{**QUICK, "epochs": 1})
    assert run.info["data"]["labels"] == "probabilities"
    learned = torch.cat([labels for training, labels in seen if training]).numpy()
    np.testing.assert_array_equal(learned[np.lexsort(learned.T)], soft[np.lexsort(soft.T)])
    assert not any(labels.is_floating_point() for training, labels in seen if not training)


def test_a_text_with_one_label_only_in_a_multi_label_task_is_enough(base: Get, tmp_path: Path) -> None:
    splits = {
        name: Split(name, split.texts, None, split.labels[:, :1])  # type: ignore[index]
        for name, split in make_multi().splits.items()
    }
    data = Dataset("one", "multi_label", ("red",), splits)
    assert finetune(base("bert"), data, out=tmp_path / "run", **QUICK).predictions("test")[0].shape == (18, 1)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_from_scratch_with_a_vocabulary(vocabulary: Path, dataset: Dataset, tmp_path: Path, pooling: str) -> None:
    settings = {**QUICK, "epochs": 6, "from_scratch": True, "size": "1x32", "vocabulary_file": str(vocabulary)}
    run = finetune(None, dataset, out=tmp_path / "run", pooling=pooling, **settings)
    assert run.info["base"] == "from scratch, 1x32"
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in run.model_path.iterdir()}
    assert not (run.path / "tokenizer").exists()
    np.testing.assert_array_equal(
        predict_logits(load_classifier(run.model_path), dataset.test.texts), run.predictions("test")[0]
    )
    if pooling == "mean":
        assert run.metrics["test"]["accuracy"] > 0.6


def test_a_changed_vocabulary_is_other_data(vocabulary: Path, dataset: Dataset, tmp_path: Path) -> None:
    own = tmp_path / "vocab.txt"
    own.write_text(vocabulary.read_text())
    settings = {**QUICK, "max_steps": 1, "from_scratch": True, "size": "1x32", "vocabulary_file": str(own)}
    finetune(None, dataset, out=tmp_path / "run", **settings)
    own.write_text(vocabulary.read_text() + "more\n")
    with pytest.raises(RunError) as caught:
        finetune(None, dataset, out=tmp_path / "run", **settings)
    assert list(caught.value.accepted) == ["vocabulary"]


def test_pooling_follows_a_base_that_was_trained_with_the_mean(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for path in base("bert").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    settings = {**QUICK, "max_steps": 1}
    assert finetune(folder, dataset, out=tmp_path / "auto", **settings).info["pooling"] == "mean"
    assert finetune(folder, dataset, out=tmp_path / "cls", pooling="cls", **settings).info["pooling"] == "cls"


def test_settings_lie_over_a_recipe(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    recipe = Recipe(teacher=TeacherRecipe(**{**QUICK, "max_steps": 5, "base": str(base("electra"))}))
    run = finetune(None, dataset, out=tmp_path / "run", recipe=recipe, max_steps=2)
    assert (run.info["steps"], run.info["family"]) == (2, "electra")


def test_a_data_set_may_be_a_file_read_as_the_recipe_says(base: Get, tmp_path: Path) -> None:
    train = make_dataset(train=80).train
    rows = [f"{LABELS[gold]};{text}" for text, gold in zip(train.texts, train.labels, strict=True)]  # type: ignore[arg-type]
    path = tmp_path / "reviews.csv"
    path.write_text("colour;words\n" + "\n".join(rows) + "\n")
    recipe = Recipe.model_validate({"data": {"text": "words", "label": "colour", "delimiter": ";"}})
    run = finetune(base("bert"), path, out=tmp_path / "run", recipe=recipe, **{**QUICK, "max_steps": 2})
    assert run.labels == tuple(sorted(LABELS))
    assert set(run.metrics) == {"train", "validation", "test"}


def test_the_test_split_is_predicted_once_and_last(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted: list[list[str]] = []
    collated: list[int] = []

    def predict(loaded: Any, split: Split, *rest: Any, **keywords: Any) -> np.ndarray:
        predicted.append(split.texts)
        return predict_logits(loaded, split, *rest, **keywords)

    class Counting(TrainerCallback):
        def on_evaluate(self, _args: Any, _state: Any, _control: Any, **_rest: Any) -> None:
            collated.append(len(predicted))

    monkeypatch.setattr(run_folder_module, "predict_logits", predict)
    finetune(base("bert"), dataset, out=tmp_path / "run", callbacks=[Counting()], **QUICK)
    assert collated == [0, 0]
    assert [texts == dataset.test.texts for texts in predicted] == [False, False, True]


def test_the_best_evaluation_decides_which_weights_are_kept(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    class Spoiling(TrainerCallback):
        """Ruins the model after its first epoch."""

        def on_step_end(self, _args: Any, state: Any, _control: Any, model: Any = None, **_rest: Any) -> None:
            if state.global_step > 6:
                with torch.no_grad():
                    model.classifier.weight.zero_()

    run = finetune(base("bert"), dataset, out=tmp_path / "run", callbacks=[Spoiling()], **QUICK)
    assert (run.info["best_step"], run.info["best_epoch"]) == (6, 1.0)
    assert run.metrics["validation"]["accuracy"] == pytest.approx(run.info["best_metric"]["accuracy"])
    assert load_classifier(run.model_path).model.classifier.weight.abs().sum() > 0  # type: ignore[union-attr,operator]


@pytest.mark.parametrize(("choose_by", "constant"), [("balanced", False), ("metric", True)])
def test_weights_that_give_every_text_the_frequent_label_are_kept_for_accuracy_alone(
    base: Get, dataset: Dataset, tmp_path: Path, choose_by: str, constant: bool
) -> None:
    class OneAnswer(TrainerCallback):
        """Makes the model give the first label to all texts while it is evaluated the first time."""

        def on_step_end(self, _args: Any, state: Any, _control: Any, model: Any = None, **_rest: Any) -> None:
            if state.global_step == 6:
                self.before = model.classifier.bias.data.clone()
                model.classifier.bias.data[0] += 1e4
            elif state.global_step == 7:
                model.classifier.bias.data = self.before

    split = dataset.validation
    other = np.flatnonzero(split.labels != 0)[:5]
    split = split.take(np.concatenate([np.flatnonzero(split.labels == 0), other]))
    assert split.labels is not None
    split.labels[-3:] = 0  # three have the frequent label by mistake: who reads the texts is less accurate
    splits = {**dataset.splits, "validation": split}
    uneven = Dataset("uneven", "single_label", LABELS, splits)
    settings = {**QUICK, "epochs": 3, "choose_by": choose_by, "calibrate": False}
    run = finetune(base("bert"), uneven, out=tmp_path / "run", callbacks=[OneAnswer()], **settings)
    assert (run.info["best_step"] == 6) is constant
    kept = run.info["best_metric"]
    assert kept is not None and kept["accuracy"] == pytest.approx(run.metrics["validation"]["accuracy"])
    if not constant:
        log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        means = {
            entry["step"]: (entry["eval_accuracy"] + entry["eval_macro_f1"]) / 2
            for entry in log
            if "eval_accuracy" in entry
        }
        assert kept["balanced"] == pytest.approx(max(means.values())) == pytest.approx(means[run.info["best_step"]])
        assert kept["macro_f1"] == pytest.approx(run.metrics["validation"]["macro_f1"])


def test_progress_tells_what_happens_and_standard_output_stays_empty(
    base: Get, dataset: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    start = base("bert")
    capfd.readouterr()  # where this test makes the base, transformers shows a bar
    finetune(start, dataset, out=tmp_path / "run", progress=lines.append, **QUICK)
    assert sum("  validation accuracy" in line for line in lines) == 2
    assert sum(line.startswith("teacher: kept: epoch ") for line in lines) == 1
    assert any("teacher: step 12/12" in line for line in lines)
    assert capfd.readouterr() == ("", "")


def test_the_log_is_json_lines_with_losses_rates_and_metrics(finished: Run) -> None:
    entries = [json.loads(line) for line in (finished.path / "log.jsonl").read_text().splitlines()]
    losses = {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}
    assert list(losses) == list(range(1, 13))
    assert losses[12] < losses[1]
    assert [entry["step"] for entry in entries if "eval_accuracy" in entry] == [6, 12]
    assert all("learning_rate" in entry for entry in entries if "loss" in entry)


def test_a_validation_row_with_a_foreign_label_counts_as_wrong(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    split = dataset.validation
    unseen_label = np.ones(len(split), dtype=bool)
    labels = np.full(len(split), -1)
    splits = {**dataset.splits, "validation": Split("validation", split.texts, None, labels, unseen_label)}
    run = finetune(
        base("bert"), Dataset("x", "single_label", LABELS, splits), out=tmp_path / "run", **{**QUICK, "max_steps": 2}
    )
    assert run.info["best_metric"] == {"balanced": 0.0, "accuracy": 0.0, "macro_f1": 0.0}


def test_an_endless_text_made_by_hand_is_cut_and_counted(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    texts = [*dataset.train.texts[:-1], "w1 " * 138_679]
    splits = {**dataset.splits, "train": Split("train", texts, None, dataset.train.labels)}
    run = finetune(
        base("bert"), Dataset("x", "single_label", LABELS, splits), out=tmp_path / "run", **{**QUICK, "max_steps": 2}
    )
    check = json.loads((run.path / "data_check.json").read_text())
    train = next(split for split in check["splits"] if split["name"] == "train")
    assert list(train["endless"].values()) == [138_681]  # with [CLS] and [SEP]
    assert train["lengths"]["truncated"] > 0


def test_an_endless_text_in_a_file_is_refused(base: Get, tmp_path: Path) -> None:
    rows = [{"text": f"{label}0 w{number}", "label": label} for label in LABELS for number in range(20)]
    rows[7]["text"] = "w1 " * 138_679
    data = write_rows(tmp_path / "data.jsonl", rows)
    error = refused(DataError, r"data\.jsonl, line 8: a text of 416,0", base("bert"), data, tmp_path / "run")
    assert any("--drop-long" in hint for hint in error.command_hints())


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_nul_byte_is_refused_by_row(base: Get, tmp_path: Path) -> None:
    rows = [{"text": f"{label}0 w{number}", "label": label} for label in LABELS for number in range(20)]
    rows[3]["text"] = "red0 \0 w1"
    data = write_rows(tmp_path / "data.jsonl", rows)
    refused(DataError, r"line 4: the text holds a NUL at position 5", base("bert"), data, tmp_path / "run")


def test_one_label_only_is_refused(base: Get, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"w{n}", "label": "red"} for n in range(20)])
    refused(DataError, "only the label 'red'", base("bert"), data, tmp_path / "run")


@pytest.mark.parametrize("content", ["", "\n\n", "[]"])
def test_an_empty_data_set_is_refused(base: Get, tmp_path: Path, content: str) -> None:
    path = tmp_path / ("data.json" if content == "[]" else "data.jsonl")
    path.write_text(content)
    with pytest.raises(DataError):
        finetune(base("bert"), path, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


ONE = Split("train", ["w1", "w2"], None, np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("red",), "splits": {}}, "has no split 'train'"),
        ({"drop": "validation"}, "has no split 'validation'"),
        ({"train": Split("train", [], None, np.zeros(0, dtype=np.int64))}, "the train split has no rows"),
        ({"train": Split("train", ["w1"])}, "the train split has no labels"),
        ({"validation": Split("validation", ["w1"])}, "the validation split has no labels"),
        ({"labels": ("red",), "splits": {"train": ONE, "validation": ONE}}, "has 1 label"),
    ],
)
def test_a_data_set_made_by_hand_must_be_trainable(
    base: Get, dataset: Dataset, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    splits = dict(dataset.splits) | {name: value for name, value in changes.items() if isinstance(value, Split)}
    splits.pop(changes.get("drop", ""), None)
    data = Dataset("by hand", "single_label", changes.get("labels", LABELS), changes.get("splits", splits))
    refused(DataError, message, base("bert"), data, tmp_path / "run")


def test_an_unknown_setting_names_the_closest_one(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    error = refused(ConfigError, r"unknown key 'teacher\.learning_rat'", base("bert"), dataset, tmp_path / "run",
                    learning_rat=1e-4)  # fmt: skip
    assert error.fix == ("did you mean 'learning_rate'?",)
    error = refused(ConfigError, r"unknown key 'teacher\.temperature'", base("bert"), dataset, tmp_path / "run",
                    temperature=2.0)  # fmt: skip
    assert error.fix == ("did you mean 'student.temperature'?",)


@pytest.mark.parametrize(
    "setting",
    [
        *({"batch_size": 0}, {"epochs": -1}, {"learning_rate": "fast"}, {"seed": -1}, {"warmup": 1.5}),
        *({"optimizer": "adamx"}, {"training_precision": "fp8"}, {"max_tokens": 2}, {"learning_rate": float("nan")}),
        *({"dropout": 1.0}, {"pooling": "max"}, {"learning_rate": float("inf")}),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(
    base: Get, dataset: Dataset, tmp_path: Path, setting: dict[str, Any]
) -> None:
    refused(ConfigError, f"teacher.{next(iter(setting))} must be ", base("bert"), dataset, tmp_path / "run", **setting)


@pytest.mark.parametrize(
    ("base_name", "settings"),
    [(None, {}), ("bert", {"from_scratch": True}), (None, {"from_scratch": True}),
     (None, {"from_scratch": True, "size": "1x32"}), (None, {"from_scratch": True, "vocabulary_file": "v.txt"})],
)  # fmt: skip
def test_a_teacher_starts_from_one_thing(
    base: Get, dataset: Dataset, tmp_path: Path, base_name: str | None, settings: dict[str, Any]
) -> None:
    folder = None if base_name is None else base(base_name)
    refused(ConfigError, "starts either from|needs a size", folder, dataset, tmp_path / "run", **settings)


def test_bases_that_cannot_be_used_leave_nothing_behind(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused(ModelError, "has positions for", base("bert"), dataset, out, max_tokens=513)
    (tmp_path / "nothing").mkdir()
    refused(ModelError, "is not a model folder", tmp_path / "nothing", dataset, out)
    refused(ModelError, "neither a folder nor a hub name", "/no/such/folder", dataset, out)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (pickled / name).write_bytes((base("bert") / name).read_bytes())
    torch.save({}, pickled / "pytorch_model.bin")
    refused(ModelError, "safetensors", pickled, dataset, out)
    missing = {"from_scratch": True, "size": "1x32", "vocabulary_file": str(tmp_path / "none.txt")}
    refused(ModelError, "the vocabulary .* does not exist", None, dataset, out, **missing)


def test_an_out_folder_that_cannot_be_written_is_refused(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RunError, match="cannot be made") as caught:
        finetune(base("bert"), dataset, out=tmp_path / "file" / "run", **QUICK)
    assert caught.value.fix


def test_an_out_folder_that_holds_something_else_is_refused(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="is not a run folder; nothing was written"):
        finetune(base("bert"), dataset, out=tmp_path, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_public_name_is_this_function() -> None:
    assert liteft.finetune is finetune


@pytest.mark.slow
@pytest.mark.parametrize("start", ["base", "from scratch"])
def test_two_processes_train_one_model(
    base: Get, vocabulary: Path, dataset: Dataset, tmp_path: Path, start: str
) -> None:
    """torchrun and two imports of transformers take longer than everything else here."""
    data = tmp_path / "data"
    data.mkdir()
    for name, split in dataset.splits.items():
        rows = zip(split.texts, split.labels, strict=True)  # type: ignore[arg-type]
        write_rows(data / f"{name}.jsonl", [{"text": text, "label": LABELS[gold]} for text, gold in rows])
    scratch = {"from_scratch": True, "size": "1x32", "vocabulary_file": str(vocabulary)}
    settings = QUICK | (scratch if start == "from scratch" else {})
    request = {"base": str(base("bert")) if start == "base" else None, "data": str(data), "out": str(tmp_path / "run"),
               "settings": settings, "digest": str(tmp_path / "digest")}  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(SCRIPT), json.dumps(request)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = read_run(tmp_path / "run")
    assert run.info["steps"] == 12  # of eight texts, four in each process: six steps an epoch, as with one process
    assert start == "from scratch" or run.metrics["test"]["accuracy"] > 0.6
    digests = {path.read_text() for path in tmp_path.glob("digest.*")}
    assert len(list(tmp_path.glob("digest.*"))) == 2
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"callbacks": [print]}, "callbacks contains a builtin_function_or_method"),
        ({"progress": "yes"}, "progress must be a function, got a str"),
        ({"base": torch.nn.Linear(1, 1)}, "base is a Linear"),
        ({"recipe": "recipe.toml"}, "recipe must be a Recipe, got a str"),
        ({"out": None}, "out is None"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_before_anything_is_written(
    base: Get, dataset: Dataset, tmp_path: Path, settings: Any, message: str
) -> None:
    given = {"base": base("bert"), "data": dataset, "out": tmp_path / "run"} | settings
    for verb in (finetune, distill):
        given = {name if verb is finetune or name != "base" else "teacher": each for name, each in given.items()}
        with pytest.raises(ConfigError, match=message if verb is finetune else message.replace("base", "teacher")):
            verb(**given)
    assert not (tmp_path / "run").exists()
