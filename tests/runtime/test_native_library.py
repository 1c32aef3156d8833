"""Finding and opening libliteft: where it lies, and every way in which it may be wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import liteft
from liteft.artifact import Artifact
from liteft.errors import DeviceError
from liteft.runtime import load, native_library
from liteft.runtime.native_library import find_library, open_library
from liteft.runtime.onnx_engine import session_options

NAME = native_library._NAME


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package folder without a library, and no installed one."""
    monkeypatch.delenv("LITEFT_LIBRARY", raising=False)
    monkeypatch.setattr(native_library, "_folders", lambda: (tmp_path / name / "lib" for name in ("package", "site")))
    return tmp_path


def compiled(folder: Path, source: str) -> Path:
    """Return a library made of one line of C."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    (folder / "made.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / NAME, folder / "made.c"], check=True)
    return folder / NAME


def test_without_a_library_the_error_says_where_it_was_looked_for(nowhere: Path) -> None:
    with pytest.raises(DeviceError, match="installed without its native library") as caught:
        open_library()
    assert str(nowhere / "site" / "lib") in str(caught.value)
    assert "LITEFT_LIBRARY=FILE" in str(caught.value)


def test_the_package_goes_before_the_installation_and_the_environment_before_both(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("site", "package"):
        (nowhere / folder / "lib").mkdir(parents=True)
        (nowhere / folder / "lib" / NAME).touch()
        assert find_library() == nowhere / folder / "lib" / NAME
    (nowhere / "mine.so").touch()
    monkeypatch.setenv("LITEFT_LIBRARY", str(nowhere / "mine.so"))
    assert find_library() == nowhere / "mine.so"


def test_the_installation_is_looked_through_too() -> None:
    folders = list(native_library._folders())
    assert folders[0] == Path(liteft.__file__).resolve().parent / "lib"
    assert all(folder.parts[-2:] == ("liteft", "lib") for folder in folders)


@pytest.mark.parametrize("content", [None, b"", b"no library at all", b"\x7fELF\x02\x01\x01" + 40 * b"\x00"])
def test_a_variable_that_names_nonsense_is_an_error_for_every_backend_but_onnxruntime(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "nonsense.so"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("LITEFT_LIBRARY", str(file))
    for backend in ("auto", "native"):
        with pytest.raises(DeviceError) as caught:
            load(artifact.path, backend=backend, device="cpu")
        assert "nonsense.so" in str(caught.value) and "unset LITEFT_LIBRARY" in str(caught.value)
    with load(artifact.path, backend="onnxruntime") as classifier:
        assert classifier.backend == "onnxruntime"


def test_another_library_is_told_by_its_missing_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEFT_LIBRARY", str(compiled(tmp_path, "int something(void) { return 1; }")))
    with pytest.raises(DeviceError, match="not libliteft: it has no liteft_abi"):
        open_library()


def test_another_abi_is_refused_before_anything_else_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "int liteft_abi(void) { return 999; } const char* liteft_version(void) { return (char*)1; }"
    monkeypatch.setenv("LITEFT_LIBRARY", str(compiled(tmp_path, source)))
    with pytest.raises(DeviceError, match="has ABI 999, and this liteft needs ABI"):
        open_library()


def test_a_library_without_a_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"int liteft_abi(void) {{ return {native_library.ABI}; }}"
    monkeypatch.setenv("LITEFT_LIBRARY", str(compiled(tmp_path, source)))
    with pytest.raises(DeviceError, match="is incomplete"):
        open_library()


def test_a_library_that_does_not_open_is_no_error_where_nobody_named_it(nowhere: Path, artifact: Artifact) -> None:
    (nowhere / "package" / "lib").mkdir(parents=True)
    (nowhere / "package" / "lib" / NAME).write_bytes(b"broken")
    with load(artifact.path, device="cpu") as classifier:
        assert classifier.backend == "onnxruntime"
    with pytest.raises(DeviceError, match="cannot be opened"):
        load(artifact.path, backend="native")


def test_the_library_says_what_it_is(native: Path) -> None:
    library = open_library()
    assert library.path == native
    assert library.version == liteft.__version__
    assert library.instructions in ("avx512", "avx512vnni", "avxvnni", "avx2", "neon", "portable")


def test_the_header_has_the_abi_that_python_expects() -> None:
    header = Path(__file__).resolve().parents[2] / "cpp_ext" / "include" / "liteft" / "liteft.h"
    assert f"#define LITEFT_ABI {native_library.ABI}\n" in header.read_text()


def test_the_path_for_onnxruntime_is_a_string_or_an_error(
    native: Path, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError, match="installed without"):
        liteft.custom_ops_library()
    monkeypatch.setenv("LITEFT_LIBRARY", str(native))
    assert liteft.custom_ops_library() == str(native)


def test_a_library_without_the_operator_is_an_error_in_words(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = open_library()
    plain = native_library.NativeLibrary(found.path, found.version, found.instructions, object())  # type: ignore[arg-type]
    monkeypatch.setattr(native_library, "open_library", lambda: plain)
    with pytest.raises(DeviceError, match="built without the operator"):
        liteft.custom_ops_library()


def test_onnxruntime_computes_with_the_library_what_it_computes_without(
    native: Path, exported: Callable[..., Artifact]
) -> None:
    import numpy as np
    import onnxruntime

    feed = {"input_ids": np.array([[1, 9, 8, 2]]), "attention_mask": np.ones((1, 4), np.int64)}
    logits = []
    for registered in (False, True):
        options = session_options()
        if registered:
            options.register_custom_ops_library(liteft.custom_ops_library())
        session = onnxruntime.InferenceSession(
            exported().model_path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        logits.append(session.run(["logits"], feed)[0])
    np.testing.assert_allclose(*logits, atol=1e-4)
