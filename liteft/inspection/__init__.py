"""What an ONNX classifier consists of: bytes, integer products, operators, and where it runs."""

from liteft.inspection.result import Inspection, Operator, Place, Product, Tensor
from liteft.inspection.verb import inspect

__all__ = ["Inspection", "Operator", "Place", "Product", "Tensor", "inspect"]
