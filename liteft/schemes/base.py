"""The interface of an int8 scheme, and the calibrated range of an activation tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from liteft.int8 import STEPS

if TYPE_CHECKING:  # numpy is imported in functions only: `liteft --help` shows the schemes without it
    import numpy as np

__all__ = ["ActivationScheme", "GraphWriter", "Range", "straight_through"]


@dataclass(frozen=True, slots=True)
class Range:
    """The range of activations that uint8 represents; a value outside is clipped to the nearer end.

    Attributes:
        low, high: the ends, with low <= 0 <= high, so that 0 is represented exactly.
    """

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        """The step between two neighbouring uint8 values; positive."""
        import numpy as np

        width = np.float32((self.high - self.low) / STEPS)
        return width if width > 0 else np.float32(1)

    @property
    def zero_point(self) -> np.uint8:
        """The uint8 value that means 0."""
        import numpy as np

        return np.uint8(np.clip(np.round(-self.low / self.scale), 0, STEPS))


class GraphWriter(Protocol):
    """The methods of `liteft.exporting.builder` that a scheme uses to write a graph; values are named by strings."""

    def constant(self, value: np.ndarray | np.generic) -> str:
        """Add a constant and return its name."""

    def integers(self, *values: int) -> str:
        """Add an int64 constant, shape (values,), and return its name."""

    def number(self, value: float) -> str:
        """Add a float32 scalar and return its name."""

    def op(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""


class ActivationScheme(ABC):
    """How the activations of a matmul with int8 weights are quantized.

    In every scheme the weights have one symmetric scale per output channel. A text's result must not depend on the
    other texts of its batch, so no scale may be computed over a batch.

    Attributes:
        activations: the unit of activations that has its own scale, for the model card: "row" or "tensor".
        help: the scheme's name and requirement, for the command line.
        calibrated: the ranges of activations are calibrated with texts on the float32 graph before export.
        stacked: ONNX Runtime computes a matmul with a bias in integers only if its weight is a stack of one matrix.
    """

    activations: ClassVar[str]
    help: ClassVar[str]
    calibrated: ClassVar[bool] = False
    stacked: ClassVar[bool] = False

    @property
    def described(self) -> str:
        """The scheme in one line, for the model card."""
        return f"int8 matmuls, one scale per weight channel and per activation {self.activations}; head in float32"

    @abstractmethod
    def emit(
        self, graph: GraphWriter, x: str, weight: str, scale: str, *, name: str, values: Range | None = None
    ) -> str:
        """Write the nodes of a matmul and return the name of its result, float32 (..., outputs).

        Args:
            graph: the graph to write to.
            x: name of the activations, float32 (..., inputs).
            weight: name of the weight matrix, int8 (inputs, outputs).
            scale: name of the weight's scales, float32 (outputs,).
            name: prefix of the nodes' names.
            values: the calibrated range of x; None for a scheme that is not calibrated.
        """

    @abstractmethod
    def rounded(self, x: Any, values: Range | None = None) -> Any:
        """Return activations rounded as the graph rounds them, for training; gradients pass straight through.

        Args:
            x: float torch.Tensor (..., inputs).
            values: as for ``emit``.

        Returns:
            A tensor of the same shape and dtype.
        """


def straight_through(x: Any, rounded: Any) -> Any:
    """Return the tensor ``rounded`` with the gradient of the tensor ``x`` (straight-through estimator).

    Source: Bengio et al. 2013, arXiv:1308.3432.
    """
    return x + (rounded.to(x.dtype) - x).detach()
