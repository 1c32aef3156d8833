"""LiteFT: from labelled texts to a small, fast, verified ONNX classifier.

Public names are loaded on first use (PEP 562): importing ``liteft`` takes next to no time, and a service that only
classifies never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in the table below
    from liteft.advising import Advice as Advice
    from liteft.advising import advise as advise
    from liteft.artifact import Artifact as Artifact
    from liteft.artifact import read_artifact as read_artifact
    from liteft.bulk import Planned as Planned
    from liteft.bulk import Scored as Scored
    from liteft.bulk import plan_score as plan_score
    from liteft.bulk import score as score
    from liteft.config import read_recipe as read_recipe
    from liteft.data import Dataset as Dataset
    from liteft.data import Split as Split
    from liteft.data import check_dataset as check_dataset
    from liteft.data import load_dataset as load_dataset
    from liteft.data import load_texts as load_texts
    from liteft.distilled import Distillation as Distillation
    from liteft.doctor import diagnose as diagnose
    from liteft.encoded import Encoded as Encoded
    from liteft.errors import LiteftError as LiteftError
    from liteft.exporting import Limits as Limits
    from liteft.exporting import export as export
    from liteft.finetuning import finetune as finetune
    from liteft.floors import Floors as Floors
    from liteft.floors import train_floors as train_floors
    from liteft.form import ExportForm as ExportForm
    from liteft.frontier import Frontier as Frontier
    from liteft.frontier import search as search
    from liteft.inspection import Inspection as Inspection
    from liteft.inspection import inspect as inspect
    from liteft.picking import ToLabel as ToLabel
    from liteft.picking import to_label as to_label
    from liteft.pipeline import distill as distill
    from liteft.pretraining import Pretrained as Pretrained
    from liteft.pretraining import pretrain as pretrain
    from liteft.pretraining import read_pretrained as read_pretrained
    from liteft.privacy import hide_texts as hide_texts
    from liteft.publishing import push_to_hub as push_to_hub
    from liteft.recipes import Recipe as Recipe
    from liteft.report import compare as compare
    from liteft.run import Run as Run
    from liteft.run import read_run as read_run
    from liteft.runtime import Answer as Answer
    from liteft.runtime import AnswerClassifier as AnswerClassifier
    from liteft.runtime import Classifier as Classifier
    from liteft.runtime import Prediction as Prediction
    from liteft.runtime import Ranked as Ranked
    from liteft.runtime import Score as Score
    from liteft.runtime import Scorer as Scorer
    from liteft.runtime import Span as Span
    from liteft.runtime import TaggedText as TaggedText
    from liteft.runtime import TokenClassifier as TokenClassifier
    from liteft.runtime import custom_ops_library as custom_ops_library
    from liteft.runtime import load as load
    from liteft.runtime import predict_file as predict_file
    from liteft.serving import ServeSettings as ServeSettings
    from liteft.serving import create_app as create_app
    from liteft.serving import serve as serve
    from liteft.torch_module import native_module as native_module
    from liteft.triton.checking import TritonRepository as TritonRepository
    from liteft.triton.repository import export_triton as export_triton

_NAMES = {
    "advising": ("Advice", "advise"),
    "artifact": ("Artifact", "read_artifact"),
    "bulk": ("Planned", "Scored", "plan_score", "score"),
    "config": ("read_recipe",),
    "data": ("Dataset", "Split", "check_dataset", "load_dataset", "load_texts"),
    "distilled": ("Distillation",),
    "doctor": ("diagnose",),
    "encoded": ("Encoded",),
    "errors": ("LiteftError",),
    "exporting": ("Limits", "export"),
    "finetuning": ("finetune",),
    "floors": ("Floors", "train_floors"),
    "form": ("ExportForm",),
    "frontier": ("Frontier", "search"),
    "inspection": ("Inspection", "inspect"),
    "picking": ("ToLabel", "to_label"),
    "pipeline": ("distill",),
    "pretraining": ("Pretrained", "pretrain", "read_pretrained"),
    "privacy": ("hide_texts",),
    "publishing": ("push_to_hub",),
    "recipes": ("Recipe",),
    "report": ("compare",),
    "run": ("Run", "read_run"),
    "runtime": (
        "Answer",
        "AnswerClassifier",
        "Classifier",
        "Prediction",
        "Ranked",
        "Score",
        "Scorer",
        "Span",
        "TaggedText",
        "TokenClassifier",
        "custom_ops_library",
        "load",
        "predict_file",
    ),
    "serving": ("ServeSettings", "create_app", "serve"),
    "torch_module": ("native_module",),
    "triton.checking": ("TritonRepository",),
    "triton.repository": ("export_triton",),
}
_NEEDS_TRAIN = (
    "advising",
    "exporting",
    "finetuning",
    "frontier",
    "inspection",
    "pipeline",
    "pretraining",
    "torch_module",
    "triton.repository",
)  # the extra's packages
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("liteft")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if _HOMES[name] not in _NEEDS_TRAIN or (error.name or "").startswith("liteft"):
            raise
        from liteft.errors import MissingExtraError
        from liteft.installation import install_hint

        raise MissingExtraError(
            f"liteft.{name} needs {error.name}, which is not installed.", fix=install_hint("train")
        ) from None


def __dir__() -> list[str]:
    return list(__all__)
