"""examples/browser in headless Chromium: what it shows, what it loads, what it keeps, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="an artifact for browsers is exported with the extra 'train'")

import liteft
from liteft.artifact import Artifact
from liteft.data import load_dataset
from tests.cache import Cache
from tests.examples.conftest import EXAMPLES
from tests.exporting.conftest import Workshop
from tests.exporting.node import install_in
from tests.exporting.test_transformers_js import exported

PAGE = EXAMPLES / "browser"
PACKAGES = {"puppeteer-core": "24.43.1", **json.loads((PAGE / "package.json").read_text())["dependencies"]}
MODEL = "onnx/model_quantized.onnx"
pytestmark = pytest.mark.slow

Visit = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def packages(cache: Cache) -> Path:
    """A folder with the packages of the page and of the test."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    wanted = " ".join(f"{name}@{version}" for name, version in PACKAGES.items())
    script = Path(__file__).with_name("browser.mjs")

    def install(folder: Path) -> None:
        folder.mkdir()
        install_in(folder, wanted, script)

    return cache("browser page", install)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact of three labels for the edge. Not to be changed."""
    folder = tmp_path_factory.mktemp("edge")
    texts = load_dataset(Path(liteft.__file__).parent / "data" / "corpus").test.texts[:60]
    return exported(Workshop(folder), folder / "export", texts, family="bert")


@pytest.fixture
def site(packages: Path, edge: Artifact, tmp_path: Path) -> Path:
    """The folder of the page, as its head comment says how to make it."""
    folder = Path(shutil.copytree(PAGE, tmp_path / "site"))
    (folder / "node_modules").symlink_to(packages / "node_modules")
    shutil.copytree(edge.path, folder / "artifact")
    return folder


@pytest.fixture
def visit(site: Path, packages: Path) -> Iterator[Visit]:
    """A function that opens the page, does some steps, and returns what the page shows after each."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def visited(*steps: Any) -> list[dict[str, Any]]:
            address = f"http://127.0.0.1:{server.server_port}/"
            command = ["node", "browser.mjs", shutil.which("chromium") or "", address, json.dumps(steps)]
            done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=180, check=False)
            assert done.returncode == 0, done.stderr
            shown: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
            return shown

        yield visited
        server.shutdown()


def changed(artifact: Path, folder: Path) -> Path:
    """Return a copy of an artifact whose first label has another name."""
    shutil.copytree(artifact, folder)
    config = (folder / "config.json").read_text().replace('"yes"', '"surely"')
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["config.json"] = {"bytes": len(config), "sha256": hashlib.sha256(config.encode()).hexdigest()}
    (folder / "config.json").write_text(config)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_page_shows_the_scores_of_python_and_asks_no_other_server(visit: Visit, edge: Artifact) -> None:
    texts = ["I want a refund for order #12-34", "Café naïve, ünïcödé"]
    _, *shown = visit(*texts)
    with liteft.load(edge.path, threads=1) as classifier:
        expected = classifier.predict(texts, top_k=3)
    for page, found in zip(shown, expected, strict=True):
        assert page["ready"] and page["errors"] == [] and page["others"] == []
        assert dict(page["labels"]) == pytest.approx(dict(found.top), abs=2e-2)  # WebAssembly adds in another order


def test_a_later_visit_loads_the_manifest_alone_and_a_new_artifact_what_has_changed(
    visit: Visit, site: Path, tmp_path: Path
) -> None:
    new = changed(site / "artifact", tmp_path / "new")
    first, again, _, replaced, answered = visit(
        None, {"copy": [str(new), str(site / "artifact")]}, None, "where is my parcel"
    )

    def asked(page: dict[str, Any]) -> set[str]:
        return {path.removeprefix("/artifact/") for path in page["asked"] if path.startswith("/artifact/")}

    assert asked(first) == {"manifest.json", "config.json", "tokenizer.json", "tokenizer_config.json", MODEL}
    assert asked(again) == {"manifest.json"} and "cache" in again["status"]
    assert asked(replaced) == {"manifest.json", "config.json"}
    assert "surely" in dict(answered["labels"])


@pytest.mark.parametrize("file", [MODEL, "tokenizer.json"])
def test_a_file_with_another_byte_is_refused(visit: Visit, site: Path, file: str) -> None:
    path = site / "artifact" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (page,) = visit()
    assert not page["ready"]
    assert page["status"] == f"This page cannot classify: {file} is not the file that manifest.json describes"


def test_a_page_that_names_one_artifact_takes_no_other(visit: Visit, site: Path) -> None:
    page, manifest = site / "index.html", (site / "artifact" / "manifest.json").read_bytes()
    page.write_text(page.read_text().replace('sha256=""', f'sha256="{hashlib.sha256(manifest).hexdigest()}"'))
    (right,) = visit()
    (site / "artifact" / "manifest.json").write_bytes(manifest + b"\n")
    (wrong,) = visit()
    assert right["ready"] and not wrong["ready"]
    assert "manifest.json is not the one that this page names" in wrong["status"]
