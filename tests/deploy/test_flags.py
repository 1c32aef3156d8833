"""Variables and flags that deploy/ and its pages name are those of ``liteft serve``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from liteft.cli import app
from tests.deploy.conftest import DEPLOY, ROOT, document

OTHERS = {"LITEFT_NATIVE", "LITEFT_CUDA", "LITEFT_KEY"}  # of builds, and of the check of a server
FILES = [*sorted(path for path in DEPLOY.rglob("*") if path.is_file()), ROOT / "docs" / "guides" / "deploying.md"]


def command() -> Any:
    return typer.main.get_command(app).commands["serve"]


def flags() -> set[str]:
    return {name for parameter in command().params for name in parameter.opts if name.startswith("--")}


def variables() -> set[str]:
    """Return the variables of all flags: LITEFT_ and a flag's name, and that of the artifacts."""
    named = {f"LITEFT_{name[2:].replace('-', '_').upper()}" for name in flags()}
    return named | {"LITEFT_ARTIFACTS"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_variable_is_that_of_a_flag(path: Path) -> None:
    used = set(re.findall(r"\bLITEFT_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    assert used <= variables() | OTHERS


def test_a_flag_that_has_a_variable_of_its_own_has_the_one_of_its_name() -> None:
    stated = {each.envvar for each in command().params if each.envvar}
    assert len(stated) > 10 and stated <= variables()


@pytest.mark.parametrize(
    "words",
    [
        document("kubernetes/base/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]["args"],
        document("kserve/clusterservingruntime.yaml")["spec"]["containers"][0]["args"],
        document("compose.yaml")["services"]["liteft"]["command"],
    ],
    ids=["kubernetes", "kserve", "compose"],
)
def test_the_arguments_of_a_container_are_understood(words: list[str]) -> None:
    assert words[0] == "serve"
    command().make_context("serve", list(words[1:])).close()


@pytest.mark.parametrize(
    "path", [DEPLOY / "README.md", ROOT / "docs" / "guides" / "deploying.md"], ids=lambda path: path.name
)
def test_a_flag_of_serve_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"liteft serve .*", text) + re.findall(r"`--[^`]*`", text)
    of_others = {"--target", "--platform", "--build-arg", "--serve", "--key", "--push"}
    assert set(re.findall(r"--[a-z][a-z-]+", "\n".join(lines))) <= flags() | of_others
