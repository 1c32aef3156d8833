"""Verification of a trimmed vocabulary on real texts: kept tokens give the same results, no word becomes unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.data import Split
from liteft.encoded import Encoded
from liteft.errors import REPORT, VerificationError, leave_out
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.privacy import quoted
from liteft.ragged import row_differences
from liteft.tokenization import TextTokenizer
from liteft.trimming.vocabulary import TrimmedVocabulary, uncut

__all__ = ["prove_trimming", "trimming_text"]

_LOGITS = 512


def prove_trimming(
    full: TorchClassifier, trimmed: TorchClassifier, vocabulary: TrimmedVocabulary, split: Split
) -> dict[str, Any]:
    """Check a trimmed classifier against the original, and return how much of a split it tokenizes as before.

    A text whose tokens were all kept must have the same tokens under their new ids, and bitwise equal logits (checked
    on up to 512 such texts). A text without unknown words must still have none.

    Args:
        full: the original classifier.
        trimmed: the classifier with the trimmed vocabulary.
        vocabulary: the trimmed vocabulary.
        split: real texts, usually the validation split; labels are not read.

    Returns:
        A dictionary for run.json and the manifest: tokens (number of tokens kept), of (number before), most (the
        maximum), min_count (texts that each token occurs in, if more than 1), split (its name), texts (their number),
        unchanged_texts (share of texts whose tokens were all kept), unchanged_tokens (share of tokens in words whose
        tokens were all kept, without special tokens), more_tokens (relative increase in the number of tokens),
        unknown_texts (shares of texts with unknown words, before and after), logits_compared (number of texts).

    Raises:
        VerificationError: a check fails, which is a bug in LiteFT or in the tokenizers library.
    """
    before, after = (uncut(classifier.tokenizer).encode(split.texts, split.pairs) for classifier in (full, trimmed))
    kept = np.zeros(len(full.tokenizer.tokens()), dtype=bool)
    kept[vocabulary.old_ids[vocabulary.old_ids >= 0]] = True
    same = np.array([bool(kept[text.ids].all()) for text in before], dtype=bool)
    unknown_before = np.array([vocabulary.unknown in text.ids for text in before], dtype=bool)
    unknown_after = np.array([vocabulary.unknown in vocabulary.old_ids[text.ids] for text in after], dtype=bool)
    for row in np.flatnonzero(same & unknown_before) if vocabulary.made_of else ():
        # With a new token a word may be tokenized that was unknown before: that is correct, but not unchanged.
        same[row] = np.array_equal(vocabulary.old_ids[after[row].ids], before[row].ids)
    _check_ids(before, after, same, vocabulary, split)
    lost = np.flatnonzero(unknown_after & ~unknown_before)
    if len(lost):
        raise _wrong(f"{quoted(split.texts[lost[0]], 80)} has an unknown word that it did not have before")
    compared = np.flatnonzero(same)[:_LOGITS]
    if len(compared):
        part = split.take(compared)
        logits = [predict_logits(classifier, part) for classifier in (full, trimmed)]
        different = np.flatnonzero(row_differences(logits[0], logits[1]) != 0)  # NaN, too
        if len(different):
            raise _wrong(f"the logits of {quoted(part.texts[different[0]], 80)} have changed")
    around = _around(full.tokenizer, split) * len(split)
    tokens = int(before.lengths.sum()) - around
    unchanged = _tokens_of_kept_words(before, kept, full.tokenizer.continuations()) - around
    return {
        "tokens": len(vocabulary.tokens),
        "of": vocabulary.of,
        "most": vocabulary.most,
        **({} if vocabulary.min_count == 1 else {"min_count": vocabulary.min_count}),
        "split": split.name,
        "texts": len(split),
        "unchanged_texts": float(same.mean()) if len(split) else None,
        "unchanged_tokens": unchanged / tokens if tokens else None,
        "more_tokens": (int(after.lengths.sum()) - around) / tokens - 1 if tokens else None,
        "unknown_texts": [float(found.mean()) for found in (unknown_before, unknown_after)] if len(split) else None,
        "logits_compared": len(compared),
    }


def trimming_text(proof: dict[str, Any]) -> str:
    """Return the result of ``prove_trimming`` as one line."""
    text = f"vocabulary: {proof['tokens']:,} of {proof['of']:,} tokens"
    if proof["unchanged_tokens"] is not None:
        text += (
            f"; tokenized as before: {100 * proof['unchanged_tokens']:.1f}% of the tokens and "
            f"{100 * proof['unchanged_texts']:.1f}% of {proof['texts']:,} texts of {proof['split']}"
        )
    return text


def _check_ids(before: Encoded, after: Encoded, same: np.ndarray, vocabulary: TrimmedVocabulary, split: Split) -> None:
    """Raise VerificationError if a text of ``same``, bool (texts,), has other tokens or type ids than before."""
    for row in np.flatnonzero(same):
        if not np.array_equal(vocabulary.old_ids[after[row].ids], before[row].ids):
            raise _wrong(f"{quoted(split.texts[row], 80)} is tokenized differently, though all of its tokens were kept")
        if not np.array_equal(after[row].type_ids, before[row].type_ids):
            raise _wrong(f"{quoted(split.texts[row], 80)} has different type ids")


def _tokens_of_kept_words(encoded: Encoded, kept: np.ndarray, continues: np.ndarray) -> int:
    """Return the number of tokens in words whose tokens were all kept.

    Words with a removed token do not count at all, since their other tokens may change, too.
    """
    ids = encoded.ids
    if not len(ids):
        return 0
    starts = np.flatnonzero(~continues[ids])
    whole = np.logical_and.reduceat(kept[ids], starts)
    return int(np.diff(starts, append=len(ids))[whole].sum())


def _around(tokenizer: TextTokenizer, split: Split) -> int:
    """Return the number of special tokens around a text or a pair."""
    return int(tokenizer.count([""], None if split.pairs is None else [""])[0])


def _wrong(difference: str) -> VerificationError:
    return VerificationError(
        f"the trimmed vocabulary is not equivalent to the whole one: {difference}.",
        fix=[leave_out("vocabulary"), REPORT],
    )
