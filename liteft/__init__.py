"""LiteFT: from labelled text to a small, verified, fast ONNX classifier.

The public names are loaded on first use (PEP 562): importing ``liteft`` costs next to nothing, and a service that
only classifies never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liteft.artifact import Artifact, read_artifact
    from liteft.config import Recipe, read_recipe
    from liteft.data import Dataset, Split, check_dataset, load_dataset, load_texts
    from liteft.distillation import distill
    from liteft.doctor import diagnose
    from liteft.errors import LiteftError
    from liteft.exporting import Limits, export, native_module
    from liteft.finetuning import finetune
    from liteft.frontier import Frontier, search
    from liteft.inspection import Inspection, inspect
    from liteft.report import compare
    from liteft.run import Run, read_run
    from liteft.runtime import Classifier, Prediction, custom_ops_library, load, predict_file

__all__ = [
    "Artifact",
    "Classifier",
    "Dataset",
    "Frontier",
    "Inspection",
    "Limits",
    "LiteftError",
    "Prediction",
    "Recipe",
    "Run",
    "Split",
    "__version__",
    "check_dataset",
    "compare",
    "custom_ops_library",
    "diagnose",
    "distill",
    "export",
    "finetune",
    "inspect",
    "load",
    "load_dataset",
    "load_texts",
    "native_module",
    "predict_file",
    "read_artifact",
    "read_recipe",
    "read_run",
    "search",
]

_HOMES = {
    "Artifact": "artifact",
    "Classifier": "runtime",
    "Dataset": "data",
    "Frontier": "frontier",
    "Inspection": "inspection",
    "Limits": "exporting",
    "LiteftError": "errors",
    "Prediction": "runtime",
    "Recipe": "config",
    "Run": "run",
    "Split": "data",
    "check_dataset": "data",
    "compare": "report",
    "custom_ops_library": "runtime",
    "diagnose": "doctor",
    "distill": "distillation",
    "export": "exporting",
    "finetune": "finetuning",
    "inspect": "inspection",
    "load": "runtime",
    "load_dataset": "data",
    "load_texts": "data",
    "native_module": "exporting",
    "predict_file": "runtime",
    "read_artifact": "artifact",
    "read_recipe": "config",
    "read_run": "run",
    "search": "frontier",
}
_TRAINING = (
    *("Frontier", "Inspection", "Limits"),
    *("distill", "export", "finetune", "inspect", "native_module", "search"),
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("liteft")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if name not in _TRAINING or (error.name or "").startswith("liteft"):
            raise
        from liteft.errors import MissingExtraError
        from liteft.installation import install_hint

        raise MissingExtraError(
            f"liteft.{name} needs {error.name}, which is not installed.", fix=install_hint("train")
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
