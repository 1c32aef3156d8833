"""Teachers and students in transformers.

A model's folder, such as runs/reviews/student/model, is one of transformers: ``AutoModelForSequenceClassification`` and
its siblings give LiteFT's logits, with calibration and threshold in the weights. Two kinds need this module:

- `MeanPooledForSequenceClassification`, the class of classifiers that pool the mean. Their folder gives the encoder to
  ``AutoModel``, and this class to ``AutoModelForSequenceClassification`` with ``trust_remote_code=True``.
- `rewrite_model`, for adapters, and for mean-pooled folders of earlier versions: it writes the model as one folder that
  transformers loads.
"""

from __future__ import annotations

import os
from pathlib import Path

from liteft.errors import MissingExtraError, ModelError, option
from liteft.foreign.folders import RUN_FILE
from liteft.installation import install_hint
from liteft.run import read_run

try:
    from liteft.finetuning.model import load_classifier, merged_classifier, quiet_transformers, save_classifier
    from liteft.finetuning.modeling_mean_pooled import MeanPooledForSequenceClassification
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        f"liteft.integrations.transformers needs {missing.name}, which is not installed.", fix=install_hint("train")
    ) from None

__all__ = ["MeanPooledForSequenceClassification", "rewrite_model"]


def rewrite_model(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write a teacher or student anew, as one folder with all weights that transformers loads, and return it.

    An adapter is merged into its base in float32: logits are equal but for rounding, and for what an 8-bit base rounds
    of its inputs.

    Args:
        source: a run, or a model's folder.
        out: a folder that is new or empty.

    Raises:
        ModelError: ``out`` has something in it, or the model cannot be loaded.
        MissingExtraError: it has an adapter, and peft or bitsandbytes is not installed.
        RunError: the weights are not those that run.json names.
    """
    source, out = Path(source), Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ModelError(
            f"{out} has something in it.", accepted={"out": "a folder that is new or empty"}, fix=option("out", "NEW")
        )
    folder = read_run(source).model_path if (source / RUN_FILE).is_file() else source
    loaded = merged_classifier(load_classifier(folder))
    quiet_transformers()
    out.mkdir(parents=True, exist_ok=True)
    save_classifier(loaded.model, loaded.settings, loaded.path, out)
    return out
