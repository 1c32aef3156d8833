"""What a scheme of int8's activations has to know, and the range of values that a calibrated one works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from liteft.int8 import STEPS

if TYPE_CHECKING:  # numpy is imported where it computes: `liteft --help` shows the schemes without it
    import numpy as np

__all__ = ["ActivationScheme", "GraphWriter", "Range", "straight_through"]


@dataclass(frozen=True, slots=True)
class Range:
    """The activations that 8 bits represent; a value outside is rounded to the nearer end.

    Attributes:
        low, high: low <= 0 <= high, so that zero is exact.
    """

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        """The step between two values of uint8, positive."""
        import numpy as np

        width = np.float32((self.high - self.low) / STEPS)
        return width if width > 0 else np.float32(1)

    @property
    def zero_point(self) -> np.uint8:
        """The value of uint8 that is zero."""
        import numpy as np

        return np.uint8(np.clip(np.round(-self.low / self.scale), 0, STEPS))


class GraphWriter(Protocol):
    """What a scheme needs of the builder of an ONNX graph (`liteft.exporting.builder`). Values are named by strings."""

    def constant(self, value: np.ndarray | np.generic) -> str:
        """Return the name of a constant."""

    def integers(self, *values: int) -> str:
        """Return the name of an int64 constant, shape (values,)."""

    def number(self, value: float) -> str:
        """Return the name of a float32 scalar."""

    def op(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Write a node, and return the name of its output."""


class ActivationScheme(ABC):
    """How a matmul of int8 weights rounds its activations.

    The weights have one symmetric scale for each output channel in every scheme. A text's result must not depend on
    the texts beside it, so no scale may be taken over a batch.

    Attributes:
        activations: what has a scale of its own, as a model card says it: "row".
        help: the name and what it needs, as the command line says it.
        calibrated: ranges of the activations are found from texts, on the float32 graph, before the graph is written.
        stacked: ONNX Runtime computes it in integers only where the matrices of a Gemm are a stack of one.
    """

    activations: ClassVar[str]
    help: ClassVar[str]
    calibrated: ClassVar[bool] = False
    stacked: ClassVar[bool] = False

    @property
    def described(self) -> str:
        """The scheme in one line, for the model card."""
        return f"int8 products, a scale for each weight channel and each activation {self.activations}; head in float32"

    @abstractmethod
    def emit(
        self, graph: GraphWriter, x: str, weight: str, scale: str, *, name: str, values: Range | None = None
    ) -> str:
        """Write the matmul of a float32 value with an int8 matrix, and return its float32 value.

        Args:
            graph: where to write.
            x: float32 value, shape (..., inputs).
            weight: int8 value, shape (inputs, outputs).
            scale: float32 value, shape (outputs,).
            name: prefix of the nodes.
            values: the calibrated range of x; None for a scheme that is not calibrated.
        """

    @abstractmethod
    def rounded(self, x: Any, values: Range | None = None) -> Any:
        """Return activations rounded as the graph rounds them, with gradients, for training.

        Args:
            x: float torch.Tensor, shape (..., inputs).
            values: as of ``emit``.

        Returns:
            A tensor of the same shape and dtype.
        """


def straight_through(x: Any, rounded: Any) -> Any:
    """Return the tensor ``rounded`` with the gradient of the tensor ``x``, as if it had not been rounded.

    Source: Bengio et al. 2013, arXiv:1308.3432.
    """
    return x + (rounded.to(x.dtype) - x).detach()
