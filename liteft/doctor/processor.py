"""Findings about the processor's features that matter here: wide vectors, integer dot products, bfloat16.

ONNX Runtime and torch choose their kernels by these features at run time, so nothing has to be configured. But they
decide whether int8 is faster than float and whether training in bf16 is fast, so the doctor reports them.
"""

from __future__ import annotations

from liteft.doctor.finding import Finding
from liteft.machine import Processor, read_processor

__all__ = ["processor_findings"]


def processor_findings(processor: Processor | None = None) -> list[Finding]:
    """Return the processor's name and features, and what they mean for int8 and bf16."""
    processor = read_processor() if processor is None else processor
    if processor.features is None:
        detail = f"{processor.name}; its features are unknown: this system does not report them"
        return [Finding("processor", "ok", detail)]
    has = processor.features
    listed = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in has.items())
    findings = [Finding("processor", "ok", f"{processor.name}: {listed}")]
    if processor.architecture == "x86" and not has["AVX2"]:
        findings.append(Finding("vectors", "off", "without AVX2 everything runs on slow kernels"))
    integer, instructions = _integer_products(processor)
    if integer:
        findings.append(Finding("int8", "ok", f"integer matmuls run on {instructions}"))
    else:
        meaning = f"without {instructions} an int8 model is smaller but may not be faster: compare with fp32 first"
        findings.append(Finding("int8", "off", meaning, ("liteft compare ARTIFACT_FP32 ARTIFACT_INT8 --on DATA",)))
    if processor.architecture == "x86" and not integer:
        meaning = (
            "onnxruntime adds 8-bit products in 16 bits here, which saturate; LiteFT's sessions do not, your own need "
            "session.x64quantprecision=1, or 7-bit weights"
        )
        findings.append(Finding("int8 elsewhere", "off", meaning, ("liteft export RUN --weight-bits 7 --out FOLDER",)))
    if has["BF16"]:
        findings.append(Finding("bf16", "ok", "the processor multiplies bfloat16: training in bf16 is faster"))
    else:
        findings.append(Finding("bf16", "off", "the processor cannot multiply bfloat16: training uses fp32"))
    return findings


def _integer_products(processor: Processor) -> tuple[bool, str]:
    """Return whether the processor has fast integer dot products, and the name of those instructions."""
    has = processor.features or {}
    if processor.architecture == "x86":
        return has["VNNI"] or has["AMX"], "VNNI" if not has["AMX"] else "AMX"
    return has["dot product"] or has["I8MM"], "I8MM" if has["I8MM"] else "dot product instructions"
