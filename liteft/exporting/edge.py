"""The list of operators that an artifact for browsers and phones has in addition.

The folder of such an artifact has the layout that transformers.js reads from the hub: config.json, tokenizer.json and
tokenizer_config.json at its root, and the graph in onnx/, in a file named for its precision. The manifest says where
the graph is, so that no file is stored twice. The graph is flat, since converters for phones walk its nodes.

required_operators.config lists the operators to which a build of onnxruntime for phones can be reduced (its build
option include_ops_by_config). A tool of onnxruntime writes the list, from the graph after optimization. The .ort file
that the tool writes too is deleted: it would store the weights a second time, and whoever builds for phones has to
convert again for the version of onnxruntime that will run it.
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
    """Write the operators that a graph needs after optimization, one line for each domain and version.

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
