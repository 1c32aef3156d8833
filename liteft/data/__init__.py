"""Labelled text: read, checked and split."""

from liteft.data.dataset import Dataset, Provenance, Split

__all__ = ["Dataset", "Provenance", "Split"]
