"""What a release says of itself: one version and date everywhere, and forms that a host can read."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
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
