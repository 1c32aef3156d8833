"""Flags of pretraining: its texts, and the vocabulary that is trained on them."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_pretraining = panel("Pretraining")

Texts = Annotated[
    list[str] | None,
    _pretraining(
        "--texts",
        metavar="FILE",
        help="Plain texts of any number: a file, a folder of files, or a hub name; may be repeated.",
    ),
]
VocabularyKind = Annotated[
    str | None,
    _pretraining(
        "--vocabulary-kind",
        metavar="KIND",
        help="Vocabulary to train on the texts: wordpiece, bpe (of bytes), or unigram; wordpiece if left out.",
    ),
]
MaskedShare = Annotated[
    float | None,
    _pretraining("--masked-share", metavar="X", help="Share of the words to mask; 0.15 if left out."),
]
