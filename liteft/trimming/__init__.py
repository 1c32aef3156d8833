"""Smaller vocabularies: the pieces that texts use, within a budget, and the classifier that goes with them."""

from liteft.trimming.classifier import trim_classifier
from liteft.trimming.proof import prove_trimming, trimming_text
from liteft.trimming.vocabulary import (
    TrimmedVocabulary,
    check_budget,
    least_pieces,
    trim_vocabulary,
    write_tokenizer_files,
)

__all__ = [
    "TrimmedVocabulary",
    "check_budget",
    "least_pieces",
    "prove_trimming",
    "trim_classifier",
    "trim_vocabulary",
    "trimming_text",
    "write_tokenizer_files",
]
