"""Pretraining as a whole: the base that it makes, resuming, what follows, and what is refused."""

from __future__ import annotations

import multiprocessing
import runpy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, TrainerCallback

import liteft
from liteft.data import Dataset
from liteft.errors import ConfigError, DataError, ModelError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.bases import resolve_base
from liteft.pretraining import Pretrained, pretrain, read_pretrained
from liteft.pretraining.trainer import SparseHead
from liteft.run import read_run
from tests.cache import Cache
from tests.finetuning.conftest import make_config, write_base, write_tokenizer
from tests.finetuning.conftest import make_dataset as make_topics
from tests.pretraining.conftest import QUICK, make_texts

SCRIPT = Path(__file__).with_name("pretraining_process.py")
STEPS = 14
SAVING: dict[str, Any] = {**QUICK, "checkpoint_steps": 3}


@pytest.fixture(scope="session")
def finished(cache: Cache, corpus: Path) -> Pretrained:
    """A base of 14 steps, never interrupted. Read it only."""
    return read_pretrained(cache("pretraining-run", lambda out: pretrain(corpus, out=out, **SAVING)))


def facts(run: Pretrained) -> dict[str, Any]:
    return {name: value for name, value in run.info.items() if name not in ("seconds", "training_seconds", "data")}


def assert_equal(run: Pretrained, reference: Pretrained) -> None:
    assert facts(run) == facts(reference)
    assert run.info["weights_sha256"] == reference.info["weights_sha256"]
    assert sorted(path.name for path in run.path.iterdir()) == sorted(path.name for path in reference.path.iterdir())


class Interrupting(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def test_it_learns_to_guess_and_the_result_says_how_well(finished: Pretrained, tmp_path: Path, corpus: Path) -> None:
    assert finished.info["steps"] == STEPS and finished.info["kind"] == "base"
    assert finished.info["vocabulary"] == {"tokens": 120, "kind": "WordPiece"}
    assert finished.info["data"]["texts"] == 60
    validation = finished.metrics["validation"]
    assert validation["perplexity"] == pytest.approx(np.exp(validation["masked_loss"]))
    untrained = pretrain(corpus, out=tmp_path / "untrained", **{**SAVING, "max_steps": 1, "learning_rate": 1e-9})
    assert validation["masked_loss"] < 0.9 * untrained.metrics["validation"]["masked_loss"]
    assert "perplexity" in str(finished) and finished.to_dict()["path"] == str(finished.path)


def test_transformers_reads_the_base_its_head_and_its_tokenizer(finished: Pretrained) -> None:
    folder = finished.model_path
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    AutoModel.from_pretrained(folder)
    batch = tokenizer(f"anna {tokenizer.mask_token} books", return_tensors="pt")
    assert model(**batch).logits.shape[-1] == tokenizer.vocab_size == 120
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 16


def test_repeating_the_call_returns_the_finished_run(finished: Pretrained, corpus: Path) -> None:
    again = pretrain(corpus, out=finished.path, **SAVING)
    assert again.info == finished.info
    with pytest.raises(RunError, match="a finished run with other settings") as caught:
        pretrain(corpus, out=finished.path, **{**SAVING, "masked_share": 0.4})
    assert caught.value.accepted == {"masked_share": "0.15 -> 0.4"}
    with pytest.raises(RunError, match="other settings or data"):
        pretrain(make_texts(50, seed=1), out=finished.path, **SAVING)


@pytest.mark.parametrize("step", [2, 11])
def test_an_interrupted_pretraining_ends_in_the_same_bits(
    tmp_path: Path, finished: Pretrained, corpus: Path, step: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain(corpus, out=tmp_path / "run", callbacks=[Interrupting(step)], **SAVING)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert_equal(pretrain(corpus, out=tmp_path / "moved", **SAVING), finished)


@pytest.mark.parametrize(
    ("function", "call", "after"),
    [
        pytest.param("liteft.pretraining.base:write_trained", 1, True, marks=pytest.mark.slow),
        ("liteft.pretraining.packing:word_starts", 20, True),
        pytest.param("liteft.pretraining.corpus:read_sequences", 1, False, marks=pytest.mark.slow),
        ("liteft.finetuning.resumable:mark_complete", 3, False),
        pytest.param("liteft.pretraining.training:model_weights", 1, False, marks=pytest.mark.slow),
    ],
)
def test_a_killed_pretraining_ends_in_the_same_bits(
    tmp_path: Path, finished: Pretrained, corpus: Path, function: str, call: int, after: bool
) -> None:
    out = tmp_path / "run"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liteft.finetuning"])
    request = {"texts": str(corpus), "out": str(out), "settings": SAVING}
    request |= {"function": function, "call": call, "after": after}
    process = context.Process(
        target=runpy.run_path,
        args=(str(SCRIPT),),
        kwargs={"init_globals": {"REQUEST": request}, "run_name": "pretraining_process"},
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert not (out / "run.json").exists()
    assert_equal(pretrain(corpus, out=out, **SAVING), finished)


def test_the_run_is_a_base_for_fine_tuning_and_no_classifier(
    finished: Pretrained, tmp_path: Path, dataset: Dataset
) -> None:
    assert resolve_base(str(finished.path)) == finished.model_path
    run = finetune(
        finished.path, dataset, out=tmp_path / "tuned", max_steps=2, max_tokens=16, training_precision="fp32"
    )
    assert run.info["base"] == finished.path.name
    for refused in (lambda: read_run(finished.path), lambda: liteft.compare(finished.path, on=dataset)):
        with pytest.raises(RunError, match="a pretrained base, which is not a classifier") as caught:
            refused()
        assert "liteft finetune --base" in caught.value.command_text()
    with pytest.raises(RunError, match="contains a teacher, not a pretrained base"):
        read_pretrained(run.path)
    with pytest.raises(ModelError, match="positions"):
        finetune(finished.path, dataset, out=tmp_path / "long", max_tokens=64)


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 120), ("bpe", 300), ("unigram", 60)])
@pytest.mark.slow
def test_a_base_with_its_own_vocabulary_goes_the_whole_way_to_an_artifact(tmp_path: Path, kind: str, size: int) -> None:
    made = {"vocabulary_kind": kind, "vocabulary": size, "size": "2x32", "max_tokens": 32}
    base = pretrain(make_texts(60), out=tmp_path / "base", **{**QUICK, **made})
    verbs = ("reads", "writes", "sells")
    rows = [{"text": text, "label": next(verb for verb in verbs if verb in text)} for text in make_texts(300, seed=1)]
    data = liteft.load_dataset(rows)
    recipe = liteft.Recipe.model_validate(
        {
            "teacher": {"max_tokens": 32, "epochs": 6, "learning_rate": 5e-3, "training_precision": "fp32"},
            "student": {"size": "1", "epochs": 3, "learning_rate": 5e-3, "training_precision": "fp32"},
        }
    )
    trimmed = {"vocabulary": 110} if kind == "wordpiece" else {}
    done = liteft.distill(str(base.path), data, out=tmp_path / "all", recipe=recipe, **trimmed)
    assert done.artifact is not None
    with liteft.load(done.artifact.path) as classifier:
        assert classifier.predict(["anna reads books in 3."])[0].label in verbs


def masked_model(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(make_config(family))


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_scores_at_masked_places_alone_are_those_of_the_whole_model(family: str) -> None:
    model = masked_model(family).eval()
    ids, mask = torch.randint(5, 40, (3, 9)), torch.ones(3, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    places = torch.tensor([1, 4, 10, 26])
    head = SparseHead(model, ids)
    assert head.sparse
    found = head(model, {"input_ids": ids, "attention_mask": mask}, places)
    whole = model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(found, whole.reshape(27, -1)[places])


def test_a_family_whose_head_needs_all_places_computes_all_scores() -> None:
    model = masked_model("bert").eval()
    plain = model.cls.forward
    model.cls.forward = lambda hidden: plain(hidden - hidden.mean(dim=1, keepdim=True))  # type: ignore[attr-defined]
    ids = torch.randint(5, 40, (2, 8))
    head = SparseHead(model, ids)
    assert not head.sparse
    places = torch.tensor([3, 9])
    torch.testing.assert_close(
        head(model, {"input_ids": ids}, places), model(input_ids=ids).logits.reshape(16, -1)[places]
    )


def test_a_base_goes_on_with_its_weights_and_without_a_head_gets_a_new_one(tmp_path: Path, corpus: Path) -> None:
    base, told = write_base(tmp_path / "base", "bert"), list[str]()
    settings = {
        "base": str(base),
        "max_steps": 2,
        "max_tokens": 16,
        "training_precision": "fp32",
        "learning_rate": 1e-9,
    }
    run = pretrain(make_topics().train.texts, out=tmp_path / "run", progress=told.append, **settings)
    assert any("no layers over the vocabulary" in line for line in told)
    before, after = load_file(base / "model.safetensors"), load_file(run.model_path / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    torch.testing.assert_close(after[f"bert.{name}"], before[name], atol=1e-6, rtol=0)
    told.clear()
    again = pretrain(
        make_topics().train.texts, out=tmp_path / "again", progress=told.append, **{**settings, "base": str(run.path)}
    )
    assert not any("no layers over the vocabulary" in line for line in told)
    assert again.info["base"] == "run"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "starts either from random weights of a size or from a base"),
        ({"size": "1x32", "base": "minilm"}, "starts either from random weights of a size or from a base"),
        ({"size": "1x32", "vocabulary": 100, "vocabulary_file": "vocab.txt"}, "vocabulary does not apply with"),
        ({"base": "minilm", "vocabulary_file": "vocab.txt"}, "vocabulary_file does not apply with a base"),
        ({"size": "1x32", "vocabulary_kind": "bpe", "lowercase": True}, "lowercase applies to WordPiece only"),
        ({"size": "1x32", "class_weights": "balanced"}, "class_weights applies to classifiers"),
        ({"size": "1x30"}, "cannot be split into heads"),
        ({"size": "1x32", "vocabulary_kind": "words"}, "vocabulary_kind must be"),
        ({"size": "1x32", "vocabulary": 10}, "a vocabulary of 10 tokens has no room"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, corpus: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pretrain(corpus, out=tmp_path / "run", **settings)
    assert caught.value.fix
    assert not (tmp_path / "run").exists()


def test_a_list_of_files_names_sources_and_does_not_hold_texts(tmp_path: Path, corpus: Path) -> None:
    settings = {**QUICK, "max_steps": 1}
    run = pretrain([str(corpus)], out=tmp_path / "run", **settings)
    assert run.info["data"]["texts"] == 60
    assert pretrain([corpus], out=tmp_path / "run", **settings).info == run.info


def test_a_misspelt_file_in_a_list_does_not_become_a_text(tmp_path: Path, corpus: Path) -> None:
    for names in ([str(corpus), "none.txt"], ["none.txt", "nothing.jsonl", "neither.csv.gz"]):
        with pytest.raises(DataError, match=r"no file or folder none\.txt"):
            pretrain(names, out=tmp_path / "run", **{**QUICK, "max_steps": 1})
    assert not (tmp_path / "run").exists()


def test_a_text_with_a_token_that_the_base_has_no_row_for_is_refused_by_name(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["XYZ"])
    tokenizer.save_pretrained(base)
    settings = {"base": str(base), "max_steps": 1, "max_tokens": 16, "training_precision": "fp32"}
    with pytest.raises(DataError, match="the texts hold 'XYZ', and the model has no row for it") as caught:
        pretrain([*make_texts(9), "anna reads XYZ"], out=tmp_path / "run", **settings)
    assert caught.value.accepted and caught.value.fix
    pretrain(make_texts(9), out=tmp_path / "other", **settings)


def test_texts_that_cannot_be_used_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no texts were given"):
        pretrain(out=tmp_path / "run", size="1x32")
    with pytest.raises(DataError, match="no file or folder"):
        pretrain(tmp_path / "none.txt", out=tmp_path / "run", size="1x32")
    told: list[str] = []
    with pytest.raises(DataError, match="there is no text to learn from"):
        pretrain(["", " "], out=tmp_path / "run", size="1x32", progress=told.append)
    assert not any("trained on the texts" in line for line in told)
    with pytest.raises(ConfigError, match=r"pretrain\.max_tokens must be a whole number"):
        pretrain(["a text"], out=tmp_path / "run", size="1x32", max_tokens=100_000)
    with pytest.raises(DataError, match="is left to train on"):
        pretrain(["the same text again"] * 40, out=tmp_path / "run", size="1x32", vocabulary=60)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_without_a_mask_and_a_family_without_masks_are_refused(
    tmp_path: Path, vocabulary_without: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelError, match="has no mask token") as caught:
        pretrain(make_texts(9), out=tmp_path / "run", size="1x32", vocabulary_file=str(vocabulary_without("[MASK]")))
    assert caught.value.accepted and caught.value.fix
    decoder = write_base(tmp_path / "decoder", "gpt2")
    with pytest.raises(ModelError, match="is a gpt2, which transformers does not train by masking"):
        pretrain(make_texts(9), out=tmp_path / "run", base=str(decoder), max_tokens=16)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def vocabulary_without(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a vocabulary that lacks a token: of a tokenizer.json, without any settings."""

    def write(token: str) -> Path:
        folder = tmp_path / "vocabulary"
        folder.mkdir()
        write_tokenizer(folder)
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace(token, "[OTHER]"))
        return path

    return write


def test_a_given_vocabulary_is_used_and_unknown_tokens_are_warned_of(
    tmp_path: Path, vocabulary_without: Callable[[str], Path]
) -> None:
    settings = {"size": "1x32", "max_steps": 1, "max_tokens": 16, "training_precision": "fp32"}
    run = pretrain(
        make_topics().train.texts[:20] + make_texts(20),
        out=tmp_path / "run",
        vocabulary_file=str(vocabulary_without("[NONE]")),
        **settings,
    )
    assert any("of the tokens are unknown to the vocabulary" in line for line in run.info["warnings"])
    assert AutoTokenizer.from_pretrained(run.model_path).mask_token == "[MASK]"
