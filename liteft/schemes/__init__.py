"""The int8 schemes, which determine how activations are quantized: one module each, and their names.

A scheme is an object with everything that depends on it: the nodes of a matmul in the graph, the rounding during
training, and its words on the command line and the model card. No other code compares schemes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from liteft.schemes.base import ActivationScheme, GraphWriter, Range, straight_through
from liteft.schemes.per_row import PerRow
from liteft.schemes.static import Static

__all__ = ["CALIBRATED", "SCHEMES", "ActivationScheme", "GraphWriter", "Range", "Scheme", "straight_through"]

Scheme = Literal["per_row", "static"]

SCHEMES: Mapping[Scheme, ActivationScheme] = {"per_row": PerRow(), "static": Static()}
"""Name, as stored in recipes, manifests and the graph's attribute -> scheme."""

CALIBRATED: tuple[Scheme, ...] = tuple(name for name, scheme in SCHEMES.items() if scheme.calibrated)
"""The schemes whose ranges are calibrated with texts."""
