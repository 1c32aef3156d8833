"""``liteft doctor``: what works on this machine, what does not, why, and the command that repairs it.

It changes nothing, downloads nothing and imports neither torch nor transformers. Only onnxruntime is imported and the
native library opened, because both may be installed and still not work.
"""

from __future__ import annotations

import os

from liteft.doctor.backends import backend_findings, native_findings
from liteft.doctor.finding import Diagnosis, Finding, Status
from liteft.doctor.machine import core_findings, gpu_findings, memory_findings, read_gpus, untested_findings
from liteft.doctor.packages import extra_findings, read_requirements, version_findings
from liteft.doctor.processor import processor_findings
from liteft.doctor.providers import onnxruntime_findings, torch_findings
from liteft.doctor.triton import triton_findings

__all__ = ["Diagnosis", "Finding", "Status", "diagnose"]


def diagnose(*, triton: str | os.PathLike[str] | None = None) -> Diagnosis:
    """Check versions, extras, processor, cores, memory, GPU, ONNX Runtime, torch and the native library.

    Args:
        triton: a model repository for Triton whose files and library are checked too.

    Returns:
        The findings; ``render()`` gives text, ``to_dict()`` plain data, ``exit_status`` the status of the command.
    """
    requirements = read_requirements()
    gpus = read_gpus()
    return Diagnosis(
        (
            *version_findings(requirements),
            *processor_findings(),
            *core_findings(),
            *memory_findings(),
            *gpu_findings(gpus),
            *untested_findings(gpus),
            *onnxruntime_findings(gpus),
            *torch_findings(gpus),
            *native_findings(),
            *backend_findings(gpus),
            *extra_findings(requirements),
            *(() if triton is None else triton_findings(triton)),
        )
    )
