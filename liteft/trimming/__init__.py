"""Trimmed vocabularies: keep the tokens that texts use, up to a maximum number, and trim the classifier to them."""

from liteft.trimming.classifier import trim_classifier
from liteft.trimming.proof import prove_trimming, trimming_text
from liteft.trimming.vocabulary import (
    TrimmedVocabulary,
    check_budget,
    smallest_vocabulary,
    trim_vocabulary,
    write_tokenizer_files,
)

__all__ = [
    "TrimmedVocabulary",
    "check_budget",
    "prove_trimming",
    "smallest_vocabulary",
    "trim_classifier",
    "trim_vocabulary",
    "trimming_text",
    "write_tokenizer_files",
]
