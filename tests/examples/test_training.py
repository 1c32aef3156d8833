"""examples/train_and_serve.py and few_labels.py: run whole, on a table of topics and a tiny base."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from liteft.artifact import read_artifact
from tests.cache import Cache
from tests.examples.conftest import ENVIRONMENT, EXAMPLES
from tests.modules import module_of

pytestmark = pytest.mark.slow

RECIPE = """
[teacher]
epochs = 6
learning_rate = 5e-3
batch_size = 8
max_tokens = 16
[student]
epochs = 2
learning_rate = 5e-3
batch_size = 8
[export]
precision = "fp32"
"""


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    return module_of("finetuning")


@pytest.fixture(scope="module")
def world(tiny: ModuleType, cache: Cache) -> Path:
    """A folder with a base, topics.csv with columns of its own, pool.txt and a recipe."""

    def write(folder: Path) -> None:
        tiny.write_base(folder / "base", "bert")
        texts, gold = tiny.make_texts(260, seed=1)
        with open(folder / "topics.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["body", "topic"])
            rows.writerows((text, tiny.LABELS[label]) for text, label in zip(texts[:200], gold[:200], strict=True))
        (folder / "pool.txt").write_text("\n".join(texts[200:]) + "\n", encoding="utf-8")
        (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")

    return cache("examples-training", write)


def command(script: str, world: Path, out: Path, *more: str) -> list[str]:
    columns = ["--text", "body", "--label", "topic"]
    given = ["--teacher", str(world / "base"), "--size", "1", "--recipe", str(world / "recipe.toml"), "--out", str(out)]
    return [sys.executable, str(EXAMPLES / script), str(world / "topics.csv"), *columns, *given, *more]


def test_a_table_becomes_a_service(world: Path, tmp_path: Path) -> None:
    printed = tmp_path / "printed.txt"
    with (
        open(printed, "w", encoding="utf-8") as out,
        subprocess.Popen(
            command("train_and_serve.py", world, tmp_path / "run", "--port", "0"),
            env=ENVIRONMENT,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr is not None
        lines: list[str] = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"ready on (http://\S+)", line):
                    break
            else:
                raise AssertionError("".join(lines))
            body = json.dumps({"inputs": "red1 red2 w3"}).encode()
            request = urllib.request.Request(f"{found[1]}/predict", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.load(answer)[0]["label"] == "red"
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        assert process.wait(30) == 0
    text = printed.read_text(encoding="utf-8")
    assert "student: step" in "".join(lines)
    assert "data: topics" in text and re.search(r"^artifact +fp32, onnx", text, re.MULTILINE)
    assert re.search(r"^ +(red|green|blue)  +\d+%  ", text, re.MULTILINE)


def test_a_few_labels_and_forgotten_ones_become_a_student_beside_its_control(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "few"
    done = subprocess.run(
        command("few_labels.py", world, out, "--labels", "30"), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("30 labelled texts to train on, ")
    assert {path.name for path in out.iterdir()} >= {"teacher", "student", "student-control", "artifact"}
    for name in ("teacher", "student", "control, labels alone", "naive Bayes"):
        assert re.search(rf"^  {name} +\d+\.\d%   \[", done.stdout, re.MULTILINE)
    assert "student - control" in done.stdout and "to label" in done.stdout
    assert read_artifact(out / "artifact").manifest.labels == ("blue", "green", "red")


def test_a_pool_of_ones_own_is_learned_with_all_labels(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "few"
    done = subprocess.run(
        command("few_labels.py", world, out, "--unlabeled", str(world / "pool.txt")),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert ", 0 of which the label is forgotten" in done.stdout
    assert (out / "to_label.jsonl").is_file()


def test_without_a_pool_it_says_what_is_missing(world: Path, tmp_path: Path) -> None:
    done = subprocess.run(command("few_labels.py", world, tmp_path), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2 and "give --labels" in done.stderr


def test_an_error_is_shown_with_what_to_try(world: Path, tmp_path: Path) -> None:
    wrong = [word if word != "topic" else "topics" for word in command("train_and_serve.py", world, tmp_path)]
    done = subprocess.run(wrong, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].strip().startswith("try: ") and "Traceback" not in done.stderr
