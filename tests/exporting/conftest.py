"""Tiny classifiers of every family, with random weights of a scale that matters, and their folders.

The weights are drawn with a standard deviation of 0.08, LayerNorm and biases included: with the families' own
initialisation (0.02, ones and zeros) a graph may lose a bias or swap two layers, and still agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from liteft.artifact import Artifact, graph_file, read_artifact, writing_artifact
from liteft.data import Split
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.folder import manifest_fields, save_model, write_companions
from liteft.exporting.quantization import Int8Plan
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import (
    MeanPooledClassifier,
    TorchClassifier,
    load_classifier,
    pooler_argument,
    read_config,
    save_classifier,
    untrained_classifier,
)
from liteft.finetuning.settings import ModelSettings, read_settings
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.form import ExportForm
from liteft.runtime.onnx_engine import session_options
from liteft.words import words_of_texts

WIDTH, LAYERS, HEADS, INNER, WORDS, POSITIONS = 64, 3, 4, 128, 240, 70
CONFIGS = {
    "bert": BertConfig,
    "minilm": BertConfig,
    "distilbert": DistilBertConfig,
    "roberta": RobertaConfig,
    "xlm-roberta": XLMRobertaConfig,
    "camembert": CamembertConfig,
    "deberta-v2": DebertaV2Config,
    "electra": ElectraConfig,
    "electra-projected": ElectraConfig,
    "gpt2": GPT2Config,
}


def make_config(family: str, labels: int, **changes: Any) -> PretrainedConfig:
    """Return a tiny configuration; ``changes`` are keys of the family's own."""
    pad = 1 if "roberta" in family or family == "camembert" else 0
    common: dict[str, Any] = {"vocab_size": WORDS, "num_labels": labels, "pad_token_id": pad}
    if family == "distilbert":
        common |= {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
        common |= {"max_position_embeddings": POSITIONS}
    elif family == "gpt2":
        common |= {"n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "n_positions": POSITIONS}
        common |= {"bos_token_id": 2, "eos_token_id": 2}
    else:
        common |= {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
        common |= {"intermediate_size": INNER, "max_position_embeddings": POSITIONS}
    if family == "minilm":
        common |= {"num_attention_heads": 2 * HEADS, "layer_norm_eps": 1e-12}
    if family == "electra":
        common |= {"embedding_size": WIDTH}
    if family == "electra-projected":
        common |= {"embedding_size": 32}
    return CONFIGS[family](**{**common, **changes})


def randomize(model: torch.nn.Module, *, seed: int = 0, deviation: float = 0.08) -> None:
    """Draw every weight anew; LayerNorm's around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            scale = "norm" in name.lower() or ".ln_" in name
            parameter.copy_(1 + 0.2 * drawn if scale and name.endswith("weight") else deviation * drawn)


def write_tokenizer(folder: Path, pad: int) -> None:
    """Write a tokenizer.json of words w0, w1, ... and BERT's special tokens; ``pad`` is the padding's id."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    if pad == 1:
        special[0], special[1] = special[1], special[0]
    vocabulary = {token: number for number, token in enumerate(special)}
    vocabulary |= {f"w{number}": 4 + number for number in range(WORDS - 4)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.enable_padding(length=40, pad_id=pad, pad_token="[PAD]")
    tokenizer.enable_truncation(16)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def random_texts(count: int, *, longest: int = 30, seed: int = 0) -> list[str]:
    """Return texts of 1 to ``longest`` known words."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, count)
    return [" ".join(f"w{word}" for word in generator.integers(0, WORDS - 4, length)) for length in lengths]


def centre(loaded: TorchClassifier, texts: list[str], pairs: list[str] | None) -> np.ndarray:
    """Shift the last bias so that the labels are chosen about equally often; return the logits."""
    logits = predict_logits(loaded, texts, pairs)
    bias = [parameter for name, parameter in loaded.model.named_parameters() if name.endswith("bias")][-1]
    if len(bias) == logits.shape[1]:
        with torch.no_grad():
            bias -= torch.from_numpy(np.median(logits, axis=0))
    return predict_logits(loaded, texts, pairs)


def of_tokens(path: Path) -> TorchClassifier:
    """Return the classifier of tokens in a folder."""
    config, found = read_config(path), read_tokenizer(path)
    settings, _ = read_settings(path, config, found, None)
    model = untrained_classifier(config, settings)
    model.load_state_dict(load_file(path / "model.safetensors"))
    tokenizer = found.cutting(settings.max_tokens, truncation_side="right", pad_id=config.pad_token_id)
    return TorchClassifier(model.eval(), tokenizer, settings, path)


def write_unverified(loaded: TorchClassifier, out: Path, form: ExportForm | None = None, **changes: Any) -> Artifact:
    """Write a classifier as an artifact without comparing them; ``changes`` are keys of the manifest."""
    form, blueprint = form or ExportForm("fp32"), Blueprint(loaded)
    graph = blueprint.model(form.precision, Int8Plan(form), flat=form.flat)
    with writing_artifact(out) as writer:
        write_companions(loaded, writer.folder)
        save_model(graph, writer.folder / graph_file(form))
        (writer.folder / "card.md").write_text("# tiny\n", encoding="utf-8")
        writer.seal(**(manifest_fields(loaded, None, form, graph, traced=blueprint.traced) | changes))
    return read_artifact(out)


class Workshop:
    """Makes classifiers, in memory or as folders, and validation splits that they get right."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made = 0

    def model(
        self, family: str = "bert", pooling: str = "cls", *, labels: int = 5, seed: int = 0, **changes: Any
    ) -> torch.nn.Module:
        config = make_config(family, labels, **changes)
        torch.manual_seed(seed)
        if pooling == "mean":
            model: torch.nn.Module = MeanPooledClassifier(
                AutoModel.from_config(config, **pooler_argument(config)), labels
            )
        elif pooling == "none":
            model = AutoModelForTokenClassification.from_config(config)
        else:
            model = AutoModelForSequenceClassification.from_config(config)
        randomize(model, seed=seed)
        return model.eval()

    def folder(
        self,
        family: str = "bert",
        pooling: str = "cls",
        *,
        labels: int = 5,
        paired: bool = False,
        task: str = "single_label",
        **changes: Any,
    ) -> Path:
        self.made += 1
        path = self.root / f"{family}-{pooling}-{self.made}"
        path.mkdir()
        model = self.model(family, pooling, labels=labels, **changes)
        write_tokenizer(path, model.config.pad_token_id)
        names = tuple(f"label {number}" for number in range(labels))
        if task == "tokens":
            names = ("O", *(f"{'BI'[number % 2]}-{number // 2}" for number in range(labels - 1)))
        settings = ModelSettings(names, task, pooling, 32, paired)  # type: ignore[arg-type]
        save_classifier(model, settings, path, path)
        return path

    def loaded(self, *arguments: Any, **keywords: Any) -> TorchClassifier:
        path = self.folder(*arguments, **keywords)
        return of_tokens(path) if read_config(path).liteft["pooling"] == "none" else load_classifier(path)

    def learned(self, *arguments: Any, count: int = 80, **keywords: Any) -> tuple[Path, Split]:
        """Return a model folder, and a validation split whose labels are what the model says; words have none."""
        path = self.folder(*arguments, **keywords)
        texts = random_texts(count)
        if keywords.get("task") == "tokens":
            return path, Split("validation", texts, words=words_of_texts(texts))
        loaded = load_classifier(path)
        pairs = random_texts(count, seed=1) if loaded.settings.paired else None
        logits = centre(loaded, texts, pairs)
        save_classifier(loaded.model, loaded.settings, path, path)
        multi = loaded.settings.task == "multi_label"
        return path, Split("validation", texts, pairs, logits > 0 if multi else logits.argmax(axis=1))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Where tiny classifiers come from."""
    return Workshop(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def run_graph() -> Callable[[onnx.ModelProto, dict[str, np.ndarray]], np.ndarray]:
    """A function that runs a model in ONNX Runtime on one thread and returns its logits."""

    def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
        options = session_options()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = {value.name for value in session.get_inputs()}
        (logits,) = session.run(None, {name: array for name, array in feed.items() if name in names})
        return np.asarray(logits)

    return run


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
    """A function that returns the graph as ONNX Runtime's own optimizer leaves it."""
    folder = tmp_path_factory.mktemp("optimized")

    def optimize(model: onnx.ModelProto) -> onnx.ModelProto:
        options = session_options()
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(folder / "model.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(folder / "model.onnx")

    return optimize


@pytest.fixture
def batch() -> Callable[..., dict[str, np.ndarray]]:
    """A function that makes random ids, masks and types: full, right- or left-padded, or with holes."""

    def make(
        kind: str, texts: int, tokens: int, *, pad: int, seed: int = 0, typed: bool = True
    ) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(seed)
        mask = np.ones((texts, tokens), dtype=np.int64)
        cuts = generator.integers(0, tokens, texts)
        columns = np.arange(tokens)
        if kind == "right":
            mask = (columns <= cuts[:, None]).astype(np.int64)
        elif kind == "left":
            mask = (columns >= cuts[:, None]).astype(np.int64)
        elif kind == "holes":
            mask = (generator.random((texts, tokens)) < 0.6).astype(np.int64)
            mask[:, cuts[0]] = 1
        ids = generator.integers(4, WORDS, (texts, tokens))
        if kind in ("right", "left"):
            ids = np.where(mask == 1, ids, pad)
        types = generator.integers(0, 2, (texts, tokens)) if typed else np.zeros_like(ids)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    return make
