"""``liteft doctor``: what works on this machine, what does not, why, and the command that mends it.

It changes nothing, downloads nothing and imports neither torch nor transformers. Of the packages it judges
only onnxruntime is imported, and the native library is opened, because "installed" and "works" are two things there.
"""

from __future__ import annotations

from liteft.doctor.backends import backend_findings, native_findings
from liteft.doctor.finding import Diagnosis, Finding, Status
from liteft.doctor.machine import core_findings, gpu_findings, memory_findings, read_gpus, untested_findings
from liteft.doctor.packages import extra_findings, read_requirements, version_findings
from liteft.doctor.processor import processor_findings
from liteft.doctor.providers import onnxruntime_findings, torch_findings

__all__ = ["Diagnosis", "Finding", "Status", "diagnose"]


def diagnose() -> Diagnosis:
    """Look at versions, extras, processor, cores, memory, GPU, ONNX Runtime, torch and the native library.

    Returns:
        The findings; ``render()`` for people, ``to_dict()`` for programs, ``exit_status`` for the shell.
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
        )
    )
