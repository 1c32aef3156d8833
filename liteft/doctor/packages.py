"""Findings about installed packages: versions, extras, and whether they satisfy liteft's requirements.

The requirements are read from liteft's own metadata, so there is no second list to maintain. No package is imported to
get its version: a broken torch must not stop the doctor.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from liteft.doctor.finding import Finding
from liteft.installation import install_hint

__all__ = [
    "Requirement",
    "extra_findings",
    "fits",
    "installed_version",
    "read_requirements",
    "version_findings",
]

_EXTRAS = {
    "train": "finetune, distill and export",
    "lora": "large teachers: adapters, and bases in 8-bit or 4-bit form",
    "dp": "training with an epsilon",
    "serve": "liteft serve",
    "otel": "traces of liteft serve",
    "hub": "models and data sets of the Hugging Face hub",
    "optimum": "artifacts in transformers.pipeline",
    "parquet": "parquet files",
    "score": "tables behind URLs",
    "ray": "tables, seeds and shapes on a Ray cluster",
    "spark": "tables on a Spark cluster",
    "report": "the comparison's picture",
    "demo": "liteft demo",
}
_SHOWN = (
    "numpy",
    "tokenizers",
    "torch",
    "transformers",
    "accelerate",
    "safetensors",
    "onnx",
    "pyarrow",
    "datasets",
)
_PATTERN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;]*)(?:;(.*))?$")
_CLAUSE = re.compile(r"^(>=|<=|==|!=|<|>|~=)\s*([0-9][0-9A-Za-z.+*-]*)$")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_PLATFORM = re.compile(r"""platform_system\s*==\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that liteft requires.

    Attributes:
        name: the package's name on PyPI.
        specifier: version specifier such as ">=5.17,<6", or "".
        extra: the extra that requires it; "" for a plain install.
    """

    name: str
    specifier: str
    extra: str


def read_requirements(lines: list[str] | None = None) -> list[Requirement] | None:
    """Return liteft's requirements on this system; None if liteft is not installed, only found on the path.

    Args:
        lines: requirements in the form of a package's metadata; None for liteft's own.
    """
    if lines is None:
        try:
            lines = metadata.requires("liteft") or []
        except metadata.PackageNotFoundError:
            return None
    found = []
    for line in lines:
        match = _PATTERN.match(line.strip())
        if match is None:
            continue
        name, specifier, marker = match[1], match[2].strip().strip("()").replace(" ", ""), match[3] or ""
        system = _PLATFORM.search(marker)
        if system is not None and system[1] != platform.system():
            continue
        extra = _EXTRA.search(marker)
        found.append(Requirement(name, specifier, extra[1] if extra else ""))
    return found


def installed_version(name: str) -> str | None:
    """Return a package's version from its metadata; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def fits(version: str, specifier: str) -> bool:
    """Return whether a version satisfies a specifier such as ">=5.17,<6"; suffixes such as "rc1" are ignored."""
    return all(_clause_fits(version, clause) for clause in specifier.split(",") if clause)


def version_findings(requirements: list[Requirement] | None) -> list[Finding]:
    """Return the versions of liteft, Python and the packages, and a problem if a required one is missing or unfit."""
    python = Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    if requirements is None:
        meaning = "it is on the path but not installed, so its requirements are not checked"
        own = Finding("liteft", "off", meaning, (install_hint("cpu", "train"),))
    else:
        own = Finding("liteft", "ok", str(installed_version("liteft")))
    listed = ((name, installed_version(name)) for name in _SHOWN)
    shown = ", ".join(f"{name} {version}" for name, version in listed if version is not None)
    findings = [own, python, Finding("packages", "ok", shown or "none that liteft uses")]
    base = [requirement for requirement in requirements or [] if not requirement.extra]
    missing, unfit = _sort(base)
    if missing or unfit:
        findings.append(Finding("base packages", "problem", _words(missing, unfit), (install_hint(),)))
    return findings


def extra_findings(requirements: list[Requirement] | None, purposes: Mapping[str, str] = _EXTRAS) -> list[Finding]:
    """Return for each extra whether its packages are installed in versions that fit; empty without requirements.

    Args:
        requirements: liteft's requirements, or None.
        purposes: extra -> what it is for.
    """
    findings = []
    for extra, purpose in purposes.items():
        asked = [requirement for requirement in requirements or [] if requirement.extra == extra]
        if not asked:
            continue
        missing, unfit = _sort(asked)
        fix = (install_hint(extra),)
        if unfit:
            findings.append(Finding(f"extra {extra}", "problem", f"for {purpose}: {_words(missing, unfit)}", fix))
        elif missing:
            findings.append(Finding(f"extra {extra}", "off", f"for {purpose}: {_words(missing, unfit)}", fix))
        else:
            findings.append(Finding(f"extra {extra}", "ok", f"for {purpose}"))
    return findings


def _sort(requirements: list[Requirement]) -> tuple[list[str], list[str]]:
    """Return the names of missing packages, and a description of each whose version does not fit."""
    missing, unfit = [], []
    for requirement in requirements:
        version = installed_version(requirement.name)
        if version is None:
            missing.append(requirement.name)
        elif not fits(version, requirement.specifier):
            unfit.append(f"{requirement.name} {version} is installed, {requirement.specifier} is needed")
    return missing, unfit


def _words(missing: list[str], unfit: list[str]) -> str:
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    return "; ".join([*unfit, *parts])


def _clause_fits(version: str, clause: str) -> bool:
    """Return whether a version satisfies one clause such as ">=5.17"; an unknown clause is satisfied."""
    match = _CLAUSE.match(clause)
    if match is None:
        return True
    operator, wanted_text = match[1], match[2]
    have, wanted = _release(version), _release(wanted_text)
    if wanted_text.endswith(".*"):
        same = have[: len(wanted)] == wanted
        return same if operator == "==" else not same
    width = max(len(have), len(wanted))
    left, right = (value + (0,) * (width - len(value)) for value in (have, wanted))
    if operator == "~=":
        return left >= right and have[: len(wanted) - 1] == wanted[:-1]
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
    }[operator]


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
