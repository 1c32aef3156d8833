"""Teachers that are an adapter on a quantized base: a decoder with its own tokenizer, and a BERT that is cut."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2Model, set_seed

import liteft
from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation.initial import create_student
from liteft.errors import ConfigError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier, merged_classifier
from liteft.recipes import StudentRecipe
from liteft.run import Run
from tests.distillation.students import distill

ADAPTER: dict[str, Any] = {"base_quantization": "4bit", "learning_rate": 1e-2, "epochs": 6, "batch_size": 8}
STUDENT: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}


@pytest.fixture(scope="module")
def decoder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two layers with random weights; its byte-level BPE is trained on the training texts."""
    folder = tmp_path_factory.mktemp("decoder") / "gpt2"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        dataset.train.texts,
        trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet),
    )
    set_seed(0)
    end = tokenizer.token_to_id("<|endoftext|>")
    shape = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.2}
    config = GPT2Config(vocab_size=tokenizer.get_vocab_size(), bos_token_id=end, eos_token_id=end, **shape)
    GPT2Model(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def own(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that reads whole words."""
    return tiny.write_base(tmp_path_factory.mktemp("own") / "bert", "bert")


@pytest.fixture(scope="module")
def big(decoder: Path, tiny: ModuleType, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The decoder with an adapter, its base in 4-bit form. Read it only."""
    settings = {**tiny.QUICK, **ADAPTER, "max_tokens": 40}
    return finetune(decoder, dataset, out=tmp_path_factory.mktemp("big") / "run", **settings)


@pytest.fixture(scope="module")
def cut(tiny: ModuleType, base: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A BERT of four layers with an adapter, its base in 8-bit form. Read it only."""
    settings = {**tiny.QUICK, **ADAPTER, "base_quantization": "8bit", "epochs": 2}
    return finetune(base, dataset, out=tmp_path_factory.mktemp("cut") / "run", **settings)


def test_a_decoder_in_4_bits_teaches_a_bert_with_another_tokenizer_up_to_the_artifact(
    decoder: Path, own: Path, dataset: Dataset, tmp_path: Path
) -> None:
    teacher = {**ADAPTER, "max_tokens": 64, "training_precision": "fp32", "seed": 3}
    recipe = make_recipe({"teacher": teacher, "student": {**STUDENT, "student": str(own), "control": True}})
    with pytest.raises(ModelError, match="positions for 40 tokens, and its teacher is to read 64"):
        liteft.distill(decoder, dataset, out=tmp_path / "too long", recipe=recipe)
    assert not (tmp_path / "too long").exists()  # nothing was trained
    recipe.teacher = recipe.teacher.model_copy(update={"max_tokens": 40})
    made = liteft.distill(decoder, dataset, out=tmp_path / "out", recipe=recipe)
    assert made.teacher is not None and made.artifact is not None
    assert (made.teacher.info["family"], made.students[0].info["family"]) == ("gpt2", "bert")
    assert made.teacher.metrics["test"]["accuracy"] > 0.6
    assert made.students[0].metrics["test"]["accuracy"] > 0.8
    assert made.artifact.manifest.teacher["weights_sha256"] == made.teacher.info["weights_sha256"]  # type: ignore[index]
    with liteft.load(made.artifact.path) as classifier:
        answers = [prediction.label for prediction in classifier.predict(dataset.test.texts)]
    gold = [dataset.labels[label] for label in dataset.test.labels]  # type: ignore[union-attr]
    assert np.mean([answer == label for answer, label in zip(answers, gold, strict=True)]) > 0.8


def test_the_student_moves_towards_the_decoders_logits(big: Run, own: Path, dataset: Dataset, tmp_path: Path) -> None:
    target, texts = big.predictions("train")[0], dataset.train.texts
    run = distill(big, dataset, out=tmp_path / "student", logits_loss="mse", hard_weight=0, student=str(own), **STUDENT)
    before = predict_logits(create_student(load_classifier(big.model_path), StudentRecipe(student=str(own))), texts)
    after = predict_logits(load_classifier(run.model_path), texts)
    assert abs(np.corrcoef(before.ravel(), target.ravel())[0, 1]) < 0.5
    assert np.corrcoef(after.ravel(), target.ravel())[0, 1] > 0.8


def test_states_of_a_decoder_are_not_matched_by_a_bert(big: Run, own: Path, dataset: Dataset, tmp_path: Path) -> None:
    settings = STUDENT | {"student": str(own), "hidden_weight": 1.0}
    with pytest.raises((ConfigError, ModelError)):
        distill(big, dataset, out=tmp_path / "student", **settings)
    assert not (tmp_path / "student").exists()


def test_a_student_that_is_cut_starts_from_the_merged_weights(cut: Run, dataset: Dataset) -> None:
    loaded = load_classifier(cut.model_path)
    student = create_student(loaded, StudentRecipe(size="4"))
    expected = predict_logits(merged_classifier(loaded), dataset.test.texts)
    np.testing.assert_array_equal(predict_logits(student, dataset.test.texts), expected)
    half = create_student(loaded, StudentRecipe(size="2x16"))
    assert int(half.config.hidden_size) == 16 and not hasattr(half.config, "quantization_config")


def test_a_student_matches_states_and_relations_of_a_teacher_in_8_bits(
    cut: Run, dataset: Dataset, tmp_path: Path
) -> None:
    matching = {"hidden_weight": 1.0, "relation_weight": 1.0, "matching_epochs": 1}
    run = distill(cut, dataset, out=tmp_path / "student", size="2", augmentation="mask", **STUDENT, **matching)
    assert run.metrics["test"]["accuracy"] > 0.8
    assert (run.model_path / "model.safetensors").is_file() and not (run.model_path / "base.json").exists()
    assert run.info["teacher"]["weights_sha256"] == cut.info["weights_sha256"]


def test_a_teacher_without_its_base_is_an_error_that_says_where_it_was(
    own: Path, tiny: ModuleType, dataset: Dataset, tmp_path: Path
) -> None:
    base = shutil.copytree(own, tmp_path / "base")
    run = finetune(base, dataset, out=tmp_path / "run", **{**tiny.QUICK, "lora_rank": 2, "max_steps": 1})
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="adapter on the base"):
        distill(run, dataset, out=tmp_path / "student", size="1")
