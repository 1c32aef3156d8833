"""The languages that clients speak, each in a module: what they send is read, asked, and answered as they expect."""

from __future__ import annotations

from liteft.serving.dialects.classify import classify
from liteft.serving.dialects.instances import predict_instances, predict_only
from liteft.serving.dialects.pipelines import pipeline
from liteft.serving.dialects.tei import invoke, predict, rerank
from liteft.serving.dialects.v2 import infer, model_metadata, model_ready, server_metadata

__all__ = [
    "classify",
    "infer",
    "invoke",
    "model_metadata",
    "model_ready",
    "pipeline",
    "predict",
    "predict_instances",
    "predict_only",
    "rerank",
    "server_metadata",
]
