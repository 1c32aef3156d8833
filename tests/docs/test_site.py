"""The site: its navigation, what it takes from the code, and that it builds without warnings and needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import liteft
from liteft.recipes import Recipe
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
SETTINGS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = re.search(r"^nav:\n(.*?)^\w", SETTINGS, re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\bLITEFT_[A-Z][A-Z_]*[A-Z]\b")
READS = re.compile(r"environ|getenv|\bENV\b|^ *export |os\.environ")


def test_every_page_is_in_the_navigation_and_the_navigation_has_no_others() -> None:
    assert NAVIGATION is not None
    lines = [line for line in NAVIGATION[1].splitlines() if not line.lstrip().startswith("#")]
    shown = re.findall(r": (\S+\.md)$", "\n".join(lines), re.MULTILINE)
    assert sorted(shown) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_part_that_is_made_from_the_code_is_asked_for_once(reference: Any) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    asked = re.findall(r"^<!-- made from the code: (.*) -->$", text, re.MULTILINE)
    assert sorted(asked) == sorted(reference.MADE)
    with pytest.raises(KeyError):
        reference.filled("<!-- made from the code: nothing of this name -->")


def test_every_public_name_is_in_the_reference(reference: ModuleType) -> None:
    shown = re.findall(r"^::: liteft\.(\w+)$", reference.MADE["public names"](), re.MULTILINE)
    assert sorted(shown) == sorted(set(liteft.__all__) - {"__version__"})


def test_every_flag_of_every_command_is_in_the_reference(reference: ModuleType) -> None:
    import typer

    from liteft.cli import app

    text = reference.MADE["commands"]()
    commands: Any = typer.main.get_command(app).commands
    parts = dict(zip(commands, text.split("\n## liteft "), strict=True))
    for name, command in commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert all(f"`{flag}`" in parts[name] for flag in parameter.opts), (name, parameter.opts)
        assert str(command.epilog).split("\n\n")[-1] in parts[name]


def test_every_key_of_a_recipe_is_in_the_reference_with_a_meaning(reference: ModuleType) -> None:
    from _reference.recipe_keys import meanings

    text = reference.MADE["recipe keys"]()
    for name, field in Recipe.model_fields.items():
        kind: Any = field.annotation
        assert f"## `[{name}]`" in text
        missing = [key for key, said in meanings(kind).items() if not said]
        assert not missing, f"[{name}]: a key needs Field(description=...), or a line in docs/_reference/recipe_keys.py"
        assert all(f"| `{key}` |" in text for key in kind.model_fields)


def test_every_class_of_errors_is_in_the_reference(reference: ModuleType) -> None:
    from liteft import errors

    text = reference.MADE["error classes"]()
    classes = [name for name in errors.__all__ if name.endswith("Error")]
    assert len(classes) > 8 and all(f"| `{name}` |" in text for name in classes)


def test_every_key_of_a_manifest_is_in_the_reference(reference: ModuleType) -> None:
    from liteft.artifact.manifest import Manifest

    text = reference.MADE["manifest keys"]()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(Manifest.model_fields)


def variables_read(paths: list[Path]) -> set[str]:
    """Return the variables of LiteFT that code names beside reading the environment, or by the constant of a name."""
    found: set[str] = set()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if READS.search(text) or "envvar=" in text:
            found |= set(VARIABLE.findall(text))
    return found


def test_every_variable_that_code_reads_is_documented(reference: ModuleType) -> None:
    page = reference.filled((DOCS / "reference" / "environment.md").read_text(encoding="utf-8"))
    shown = set(VARIABLE.findall(page))
    sources = [*(ROOT / "liteft").rglob("*.py"), *(ROOT / "bench").glob("*.py"), ROOT / "cpp_ext" / "build_backend.py"]
    sources += [ROOT / "tests" / "conftest.py", ROOT / "tests" / "building.py"]
    read = variables_read(sources)
    for path in (ROOT / "cpp_ext").rglob("*"):
        if path.suffix in (".cpp", ".h", ".cu") and "tests" not in path.parts:
            read |= set(re.findall(r'getenv\("(LITEFT_\w+)"\)', path.read_text(encoding="utf-8")))
    not_variables = {"LITEFT_INT8", "LITEFT_CUDA", "LITEFT_VERSION", "LITEFT_CUDA_KERNELS", "LITEFT_CUDA_BUILT_FOR"}
    not_variables |= {"LITEFT_ONEDNN", "LITEFT_INT"}  # definitions of the C library, and settings of CMake
    assert len(read) > 20 and read - not_variables <= shown
    for variable in shown:
        assert variable in read or any(variable in path.read_text(encoding="utf-8") for path in (ROOT / "Makefile",))


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the site needs the extra 'docs'")
    pytest.importorskip("mkdocstrings", reason="the site needs the extra 'docs'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]* src=\"?https?://[^>]*>", text), page
        assert not re.findall(r"<link[^>]* href=\"?https?://[^>]*>", text), page
        assert "<!-- made from the code" not in text, page
    shown = (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")
    assert all(f'id="liteft.{name}"' in shown for name in liteft.__all__ if name != "__version__")
