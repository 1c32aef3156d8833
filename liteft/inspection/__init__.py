"""Inspection of an ONNX classifier: bytes by kind, matrix products, operators, and the engines that run it."""

from liteft.inspection.inspecting import inspect
from liteft.inspection.result import Inspection, Operator, Place, Product, Tensor

__all__ = ["Inspection", "Operator", "Place", "Product", "Tensor", "inspect"]
