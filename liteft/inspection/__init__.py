"""Inspection of an ONNX classifier: bytes by kind, matmuls, operators, and the engines that run it."""

from liteft.inspection.inspecting import inspect
from liteft.inspection.result import Inspection, Matmul, Operator, Place, Tensor

__all__ = ["Inspection", "Matmul", "Operator", "Place", "Tensor", "inspect"]
