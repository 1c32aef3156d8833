"""What a release says of itself: one version and date everywhere, and forms that a host can read."""

from __future__ import annotations

import importlib
import platform
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import liteft

yaml = pytest.importorskip("yaml", reason="PyYAML comes with huggingface_hub")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def releases() -> list[tuple[str, str]]:
    """Version and date of each release of the changelog, newest first."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[?(\d+\.\d+\.\d+)\]? (?:- |\()([^)\n]+)\)?$", changelog, re.MULTILINE)


def test_version_and_date_are_the_same_in_all_places() -> None:
    version, date = releases()[0]
    citation = read("CITATION.cff")
    assert {version, citation["version"], PROJECT["version"], liteft.__version__} == {version}
    assert citation["date-released"] == date
    assert metadata.version("liteft") == version, "the installed LiteFT is older: make setup"


def test_the_citation_says_what_the_package_says() -> None:
    citation = read("CITATION.cff")
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert {"cff-version", "message", "title", "type"} <= citation.keys()


@pytest.mark.parametrize("path", [form for form in FORMS if form.name != "config.yml"], ids=lambda path: path.name)
def test_a_form_for_issues_has_fields_with_names_of_their_own(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields and len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_workflow_of_wheels_publishes_nothing() -> None:
    workflow = read(".github/workflows/wheels.yml")
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not [step for step in steps if "publish" in step.get("uses", "") or "twine upload" in step.get("run", "")]


def test_every_python_that_is_promised_is_tested_and_named() -> None:
    tested = read(".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert named == tested
    least, most = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # type: ignore[union-attr]
    assert named == [f"3.{minor}" for minor in range(int(least), int(most))]


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "release"))
    return importlib.import_module("wheels")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "release"))
    return importlib.import_module("check")


def test_a_wheel_for_another_machine_is_cross_compiled_and_named_after_it(
    wheels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert "wheel.tags" not in wheels.settings_for("x86_64", "ON")
    assert wheels.settings_for("x86_64", "ON")["cmake.define.LITEFT_CUDA"] == "ON"
    other = wheels.settings_for("aarch64", "OFF")
    assert other["wheel.tags"] == "py3-none-linux_aarch64"
    assert Path(other["cmake.define.CMAKE_TOOLCHAIN_FILE"]).is_file()


def test_a_wheel_that_cannot_be_built_here_is_an_error(wheels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match="a wheel for x86_64 is built on x86_64; this is aarch64"):
        wheels.settings_for("x86_64", "OFF")


def test_a_wheel_of_another_machine_is_tried_in_an_emulator(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []
    monkeypatch.setattr(check, "emulated", lambda folder, machine, *_: made.append(f"emulated {machine}"))
    monkeypatch.setattr(check, "of_this_machine", lambda folder, wanted, *_: made.append(wanted))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    check.environment_of(Path("liteft-0.1.0-py3-none-manylinux_2_34_aarch64.whl"), tmp_path)
    check.environment_of(Path("liteft-0.1.0-py3-none-manylinux_2_34_x86_64.whl"), tmp_path)
    check.environment_of(Path("liteft-0.1.0.tar.gz"), tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    check.environment_of(Path("liteft-0.1.0-py3-none-manylinux_2_34_aarch64.whl"), tmp_path)
    assert made == [
        "emulated aarch64",
        "liteft-0.1.0-py3-none-manylinux_2_34_x86_64.whl[cpu]",
        "liteft-0.1.0.tar.gz[cpu]",
        "liteft-0.1.0-py3-none-manylinux_2_34_aarch64.whl[cpu]",
    ]


def test_without_an_emulator_a_wheel_of_another_machine_is_an_error(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"is tried on aarch64, or on a Debian with qemu-user; missing: qemu-aarch64"):
        check.emulated(tmp_path, "aarch64", Path("liteft-0.1.0-py3-none-manylinux_2_34_aarch64.whl"), tmp_path)


def test_an_environment_does_not_see_the_checkout(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LITEFT_LIBRARY", "mine.so")
    python = (sys.executable, "-S")
    environment = check.Environment(python, python, {"LITEFT_NATIVE": "required"})
    said = environment.run(
        python, "-c", "import os, sys; print([os.environ.get(name) for name in sys.argv[1:]])", "PYTHONPATH",
        "LITEFT_LIBRARY", "LITEFT_NATIVE",
    )  # fmt: skip
    assert said.strip() == "[None, None, 'required']"
    with pytest.raises(SystemExit, match="failed with status 3"):
        environment.run(python, "-c", "raise SystemExit(3)")
