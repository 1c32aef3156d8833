"""What an artifact for phones and browsers has beside the others: where its graph lies, and a list of operators.

The folder is the layout that transformers.js reads from the hub: config.json, tokenizer.json and tokenizer_config.json
at its root, the graph in onnx/ under the name of its precision. It is an artifact all the same: the manifest says where
the graph lies, and no file is there twice. The graph is flat, since converters for phones walk the nodes of a graph.

required_operators.config is what builds of onnxruntime for phones are reduced to (their option include_ops_by_config).
The tool of onnxruntime makes it, from the graph as it is after optimization. The .ort file of that conversion is thrown
away: it holds the weights a second time, and who builds for phones converts anew, for the version that will run it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from pathlib import Path

from liteft import files
from liteft.errors import ModelError, first_line, leave_out

__all__ = ["OPERATORS", "write_operators"]

OPERATORS = "required_operators.config"


def write_operators(graph: Path, target: Path) -> None:
    """Write the operators that a graph needs once it is optimized, a line for each domain and version.

    Args:
        graph: the ONNX file.
        target: the file to write, in the format of onnxruntime's reduced builds.

    Raises:
        ModelError: onnxruntime cannot convert the graph.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    logger = logging.getLogger("ort_format_model.utils")
    level = logger.level
    with files.temporary_folder() as spare:
        shutil.copyfile(graph, spare / "model.onnx")
        logger.setLevel(logging.WARNING)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                convert_onnx_models_to_ort(spare / "model.onnx", spare, optimization_styles=[OptimizationStyle.Fixed])
            (listed,) = spare.glob("*.config")
            lines = listed.read_text(encoding="utf-8").splitlines()
        except Exception as error:  # the tool raises plain Exception, and onnxruntime's own classes
            raise ModelError(
                f"onnxruntime cannot convert the graph for phones: {first_line(error)}.", fix=leave_out("target")
            ) from error
        finally:
            logger.setLevel(level)
    operators = [line for line in lines if not line.startswith("#")]  # the head names a file that is gone
    target.write_text(f"# Generated from {graph.name}\n" + "\n".join(operators) + "\n", encoding="utf-8")
