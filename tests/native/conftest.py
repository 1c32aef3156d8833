"""Tiny classifiers for the native engine come from where the exporter's do."""

from __future__ import annotations

from tests.exporting.conftest import workshop

__all__ = ["workshop"]
