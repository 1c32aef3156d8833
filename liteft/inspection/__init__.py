"""What an ONNX classifier consists of: bytes, integer products, operators, and where it runs."""

from liteft.inspection.inspecting import inspect
from liteft.inspection.result import Inspection, Operator, Place, Product, Tensor

__all__ = ["Inspection", "Operator", "Place", "Product", "Tensor", "inspect"]
