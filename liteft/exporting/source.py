"""Compares how LiteFT reads a model folder with how transformers alone reads it.

Otherwise an export would only be compared with LiteFT's own loader. AutoTokenizer and
AutoModelForSequenceClassification are loaded from the folder and run on difficult texts: with mixed case, accents,
several scripts, unusual spaces, special and added tokens spelled out, and more tokens than are kept. Token ids must be
equal and logits must agree before a graph is written. The finished artifact must also give the same ids in transformers
as in LiteFT.

transformers cannot load an adapter, nor a classifier pooled by LiteFT's own class. For these only the ids are compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.encoded import Encoded
from liteft.errors import REPORT, VerificationError, first_line
from liteft.exporting.limits import logit_scale
from liteft.exporting.source_words import check_word_ids, compared_texts, split_words, word_logits_alone
from liteft.finetuning.adapters import adapter_of
from liteft.finetuning.known_ids import embedding_rows
from liteft.finetuning.logits import pad_batch, predict_logits
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.pretrained import model_class, output_logits, plain_names
from liteft.finetuning.reading import read_split
from liteft.finetuning.tokenizer_files import load_auto_tokenizer
from liteft.privacy import shown
from liteft.ragged import Ragged, Rows, row_differences
from liteft.words import words_of_texts

__all__ = ["SourceReading", "read_source"]

_LIMIT = 1e-3  # of a logit between two runs of torch: one text alone, and in a batch
_RUN_TOKENS = 512  # of the texts that graphs run on; longer ones are left to torch and to the probes
_TEXTS = (
    "",
    " ",
    "Hello World, hello world, HELLO WORLD!",
    "Stra\u00dfe \u0130stanbul \u01c5 \u1e9e",
    "na\u00efve caf\u00e9 in D\u00fcsseldorf, \u00c5ngstr\u00f6m",
    "nai\u0308ve cafe\u0301 in Du\u0308sseldorf, A\u030angstro\u0308m",
    "\u4ef7\u683c\u592a\u9ad8\u4e86\uff0c\u670d\u52a1\u5f88\u5dee and late",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a",
    "\u043f\u0440\u0438\u0432\u0435\u0442 \u041c\u0418\u0420",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\U0001f642\U0001f469\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f ok",
    " leading",
    "trailing ",
    "two  spaces   three",
    "tab\tline\nend\r\nlast",
    "\ufeff no\u00a0break\u200bzero\u2028line",
    "\ufb01ne \u2460 \u00bd \uff21\uff22\uff23",
    "don't, U.S.A., 3.14, a-b_c@d.org http://a.b/c?d=1&e=#f",
    "bell\x07 nul\x00 gone",
)


@dataclass(frozen=True, slots=True)
class SourceReading:
    """Difficult texts, and what transformers gives for them.

    Attributes:
        texts: the texts.
        pairs: the second text of each pair; None if the model reads single texts.
        runnable: rows of the texts that graphs are run on, int64: those with 1 to 512 tokens, all of which the model
            has an embedding for.
        logits: transformers' logits of the runnable texts, float32, shape (rows, labels); of questions the packed form
            of `liteft.answer_spans`. None if transformers cannot load the classifier.
        described: what was compared, for the manifest.
        words: where the words of the texts are, if words are judged: Ragged int32, (words, 2) for each text; logits are
            then those of the first token of each word, (words, labels) for each runnable text.
        marked: labels are about a marked word; transformers knows of none, so no word is marked here.
    """

    texts: list[str]
    pairs: list[str] | None
    runnable: np.ndarray
    logits: Rows | None
    described: dict[str, Any]
    words: Ragged | None = None
    marked: bool = False

    def runnable_texts(self) -> Split:
        """Return the runnable texts."""
        unmarked = np.full(len(self.texts), -1) if self.marked else None
        split = Split("difficult texts", self.texts, self.pairs, words=self.words, marked=unmarked)
        return split.take(self.runnable)

    def check_artifact(self, folder: Path, *, trust: bool = False) -> dict[str, Any]:
        """Check that transformers and LiteFT read the same token ids with an artifact's tokenizer.

        Args:
            folder: the artifact.
            trust: as in ``Artifact.tokenizer``.

        Returns:
            What was compared, for the manifest.

        Raises:
            VerificationError: the ids differ.
        """
        artifact = read_artifact(folder)
        if self.words is not None:
            return check_word_ids(self, load_auto_tokenizer(folder), artifact.tokenizer(trust=trust))
        types = artifact.manifest.paired and "token_type_ids" in artifact.manifest.inputs
        theirs = load_auto_tokenizer(folder)
        expected = _ids(theirs, self.texts, self.pairs)
        found = artifact.tokenizer(trust=trust).encode(self.texts, self.pairs)
        _check_ids(expected, found, self, "the artifact's tokenizer", types=types)
        return {"texts": len(self.texts), "ids": "equal"}

    def check_logits(self, found: Rows, limit: float, *, graph: str, backend: str) -> float:
        """Compare a graph's logits of the runnable texts with transformers', and return the largest difference.

        Args:
            found: the graph's logits, float32, shape (rows, labels).
            limit: the largest difference allowed.
            graph, backend: what gave the logits, for the message.

        Raises:
            VerificationError: the difference exceeds the limit.
        """
        assert self.logits is not None
        return _check_logits(self.logits, found, self, limit, f"{graph}, run by {backend},")


def read_source(loaded: TorchClassifier, split: Split) -> SourceReading:
    """Check that transformers alone gives the ids and logits that LiteFT gives for a model folder.

    Args:
        loaded: the classifier, as LiteFT has loaded it from ``loaded.path``.
        split: texts of the task, or pairs; up to 16 of them are read beside the difficult texts.

    Raises:
        VerificationError: transformers reads different ids, or its classifier gives different logits.
    """
    settings = loaded.settings
    texts = _texts(loaded, split)
    if settings.task.per_word:
        return _read_words(loaded, texts)
    pairs = _second_texts(texts) if settings.paired else None
    theirs = load_auto_tokenizer(loaded.path)
    if loaded.own:
        theirs.truncation_side = settings.truncation_side
    expected = _ids(theirs, texts, pairs, max_length=settings.max_tokens)
    found = loaded.tokenizer.encode(texts, pairs)
    lengths = found.lengths
    answered = (lengths > 0) & _known(loaded, found)
    answered[-1] = False  # only the ids of the endless text are compared
    rows = np.flatnonzero(answered & (lengths <= _RUN_TOKENS))
    reading = SourceReading(texts, pairs, rows, None, {})
    _check_ids(expected, found, reading, str(loaded.path), types=settings.paired and uses_type_ids(loaded.config))
    described: dict[str, Any] = {"version": transformers.__version__, "texts": len(texts), "ids": "equal"}
    model, why = _load_model(loaded)
    if model is None:
        return SourceReading(texts, pairs, rows, None, described | {"logits": f"not compared: {why}"})
    compared = np.flatnonzero(answered)
    whole = SourceReading(texts, pairs, compared, None, {})
    if settings.answers is None:
        logits: Rows = _logits(model, theirs, texts, pairs, compared, settings.max_tokens)
    else:
        logits = _answer_logits(model, loaded, whole.runnable_texts())
    del model
    whole = replace(whole, logits=logits)
    ours = predict_logits(loaded, whole.runnable_texts(), batch_size=4)  # little padding
    described["logits"] = len(compared)
    limit = _LIMIT * logit_scale(settings.task, logits)
    described["logit_difference"] = _check_logits(logits, ours, whole, limit, f"{loaded.path} as LiteFT loads it")
    return SourceReading(texts, pairs, rows, logits[np.isin(compared, rows)], described)


def _read_words(loaded: TorchClassifier, texts: list[str]) -> SourceReading:
    """Do what `read_source` does for a model that judges words: transformers is given the texts cut into words."""
    words = words_of_texts(texts)
    theirs = load_auto_tokenizer(loaded.path)
    described: dict[str, Any] = {"version": transformers.__version__, "texts": len(texts)}
    none = np.zeros(0, dtype=np.int64)
    nothing = SourceReading(texts, None, none, None, described, words, loaded.settings.marked)
    compared, why = compared_texts(nothing, theirs, loaded.tokenizer)
    if why:
        return replace(nothing, described=described | {"ids": f"not compared: {why}"})
    described |= check_word_ids(nothing, theirs, loaded.tokenizer)
    model, why = _load_model(loaded)
    if model is None:
        return replace(nothing, runnable=compared, described=described | {"logits": f"not compared: {why}"})
    logits = Ragged.of(
        [word_logits_alone(model, theirs, split_words(nothing, row)) for row in compared],
        np.float32,
        width=(len(loaded.settings.labels),),
    )
    del model
    whole = replace(nothing, runnable=compared, logits=logits)
    ours = predict_logits(loaded, whole.runnable_texts(), batch_size=4)
    described["logits"] = len(compared)
    described["logit_difference"] = _check_logits(logits, ours, whole, _LIMIT, f"{loaded.path} as LiteFT loads it")
    return replace(whole, described=described)


def _known(loaded: TorchClassifier, encoded: Encoded) -> np.ndarray:
    """Return which texts have only tokens that the model has an embedding for: bool, shape (texts,)."""
    rows = embedding_rows(loaded.model) or 2**31
    return np.array([int(text.ids.max(initial=0)) < rows for text in encoded], dtype=bool)


def _texts(loaded: TorchClassifier, split: Split) -> list[str]:
    """Return difficult texts: odd ones, tokens spelled out, some of the split, and two that have to be truncated."""
    added = json.loads(loaded.tokenizer.json_text)["added_tokens"]
    added.sort(key=lambda token: token["special"])  # the folder's own first
    spelled = dict.fromkeys([token["content"] for token in added[:6] + added[6:][-6:]] + ["[SEP]", "</s>"])
    texts = [*_TEXTS, *(f"see {token} now" for token in spelled), *(f"x{token}Y" for token in spelled)]
    chosen = split.take(np.linspace(0, len(split) - 1, min(len(split), 16)).round().astype(np.int64))
    real = [text for text in chosen.texts if len(text) < 20_000]
    texts += [*real, *(text.upper() for text in real[:3]), *(text.title() for text in real[3:6])]
    words = " ".join([*real, *_TEXTS[2:12]]).split()
    # The first has twice as many words as tokens are kept, so it is truncated on either side; the second is so long
    # that the runtime clips its characters before tokenizing.
    long = [" ".join(words[(3 * row) % len(words)] for row in range(2 * loaded.settings.max_tokens))]
    return [*texts, *long, " ".join([long[0]] * 12)]


def _second_texts(texts: list[str]) -> list[str]:
    """Return a second text for each text: another of the texts, or a short one for the endless text."""
    return [*texts[3:-1], *texts[:2], "short", "short"]


def _ids(theirs: Any, texts: list[str], pairs: list[str] | None, **cut: int) -> Encoded:
    made = theirs(texts, pairs, truncation=True, verbose=False, **cut)
    return Encoded.of(made["input_ids"], made.get("token_type_ids"))


def _check_ids(expected: Encoded, found: Encoded, reading: SourceReading, subject: str, *, types: bool) -> None:
    for row, (wanted, read) in enumerate(zip(expected, found, strict=True)):
        kinds = [("ids", wanted.ids, read.ids)]
        kinds += [("type ids", wanted.type_ids, read.type_ids)] if types else []
        for kind, theirs, ours in kinds:
            if not np.array_equal(theirs, ours):
                least = min(len(theirs), len(ours))
                differs = np.flatnonzero(theirs[:least] != ours[:least])
                place = int(differs[0]) if len(differs) else least
                raise VerificationError(
                    f"transformers and LiteFT read different {kind} with {subject}; nothing was exported.",
                    accepted={
                        "text": _shown(reading, row),
                        "transformers": _shortened(theirs, place),
                        "LiteFT": _shortened(ours, place),
                    },
                    fix=[
                        "write the tokenizer again: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                        REPORT,
                    ],
                )


def _check_logits(expected: Rows, found: Rows, reading: SourceReading, limit: float, subject: str) -> float:
    if expected.shape != found.shape:
        raise VerificationError(
            f"{subject} gives {found.shape[1]} logits per text, and transformers {expected.shape[1]}; "
            "nothing was exported.",
            fix=REPORT,
        )
    differences = row_differences(expected, found)
    worst = int(differences.argmax())
    if not differences[worst] <= limit:
        raise VerificationError(
            f"{subject} does not give the logits that transformers gives; nothing was exported.",
            accepted={
                "text": _shown(reading, int(reading.runnable[worst])),
                "transformers": np.array2string(expected[worst].ravel()[:6], precision=4),
                "LiteFT": np.array2string(found[worst].ravel()[:6], precision=4),
                "largest difference": f"{differences[worst]:.2g}, limit {limit:g}",
            },
            fix=REPORT,
        )
    return float(differences[worst])


def _load_model(loaded: TorchClassifier) -> tuple[Any, str]:
    """Return the classifier as transformers loads it, or None and the reason why it cannot."""
    if adapter_of(loaded.model) is not None:
        return None, "transformers cannot load an adapter with LiteFT's head"
    if loaded.settings.pooling == "mean":
        return None, "transformers has no classifier that pools by the mean"
    try:
        with plain_names(loaded.path) as folder:
            model, info = model_class(
                loaded.settings.pooling, extractive=loaded.settings.task.extractive
            ).from_pretrained(
                str(folder),
                dtype=torch.float32,
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # what LiteFT loads and transformers does not, for whatever reason
        return None, f"transformers cannot load it: {first_line(error)}"
    if info["missing_keys"]:
        return None, f"transformers alone finds {len(info['missing_keys'])} of its weights missing"
    return model.eval(), ""


def _answer_logits(model: Any, loaded: TorchClassifier, split: Split) -> Rows:
    """Return transformers' logits of questions, each window of a context run alone: the packed form."""
    windows = read_split(loaded, split).answers
    assert windows is not None
    found = []
    with torch.inference_mode():
        for row in range(len(windows.encoded)):
            batch = pad_batch(
                windows.encoded, [row], pad_id=loaded.tokenizer.pad_id, types=uses_type_ids(loaded.config)
            )
            found.append(output_logits(model(**batch))[0].float().numpy())
    return windows.of_texts(np.concatenate(found))


def _logits(
    model: Any, theirs: Any, texts: list[str], pairs: list[str] | None, rows: np.ndarray, max_tokens: int
) -> np.ndarray:
    """Return transformers' logits of some rows, each text run alone: float32, shape (rows, labels)."""
    found = []
    with torch.inference_mode():
        for row in rows:
            pair = None if pairs is None else [pairs[row]]
            batch = theirs(
                [texts[row]], pair, truncation=True, max_length=max_tokens, return_tensors="pt", verbose=False
            )
            found.append(model(**batch).logits[0].float().numpy())
    return np.stack(found)


def _shown(reading: SourceReading, row: int) -> str:
    text = reading.texts[row] + ("" if reading.pairs is None else f" | {reading.pairs[row]}")
    text = shown(text)
    return repr(text if len(text) <= 70 else f"{text[:69]}…")


def _shortened(ids: np.ndarray, place: int) -> str:
    start, stop = max(0, place - 4), place + 6
    numbers = " ".join(map(str, ids[start:stop].tolist()))
    return f"{'… ' if start else ''}{numbers}{' …' if stop < len(ids) else ''} ({len(ids)} tokens)"
