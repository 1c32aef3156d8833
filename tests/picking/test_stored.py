"""to_label.jsonl beside a distillation: written once for a student and a pool, and never lost with people's labels."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from liteft.data import Dataset, Split
from liteft.picking import TO_LABEL_FILE, ToLabel, stored_to_label
from liteft.tasks import SINGLE_LABEL
from tests.modules import module_of

TEXTS = ["a parcel came late", "refund the second payment", "the app closes", "praise for you"]


class Asker:
    """Asks for the list of one folder, as a distillation does each time that it is called."""

    def __init__(self, folder: Path) -> None:
        self.artifact = module_of("runtime", "tiny.py").write_artifact(folder / "artifact")
        self.path = folder / TO_LABEL_FILE
        self.told: list[str] = []
        self.data = Dataset("d", SINGLE_LABEL, ("a", "b"), {"train": Split("train", TEXTS[3:])})

    def __call__(self, weights: str = "1", pool: Split | None = None) -> ToLabel:
        student: Any = SimpleNamespace(info={"weights_sha256": weights * 64})
        texts = pool or Split("pool", TEXTS)
        return stored_to_label(self.path, student, self.artifact, texts, self.data, tell=self.told.append)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def asked(tmp_path: Path) -> Asker:
    return Asker(tmp_path)


def test_a_list_is_picked_once_and_read_as_it_was_written(asked: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asked()
    assert {text.text for text in first.doubtful} == set(TEXTS[:3]), "a text with a label is not picked"
    monkeypatch.setattr("liteft.picking.stored.to_label", None)
    assert asked() == first
    assert len(asked.told) == 1


def test_a_file_with_labels_is_kept_as_it_is(asked: Asker) -> None:
    asked()
    rows = [row | {"label": "a"} for row in asked.lines][1:]
    asked.path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert len(asked().doubtful) == 2
    assert asked.lines == rows


@pytest.mark.parametrize("other", [{"weights": "2"}, {"pool": Split("pool", TEXTS[:2])}])
def test_the_list_of_another_student_or_pool_is_put_aside_and_not_replaced(asked: Asker, other: Any) -> None:
    asked()
    before = asked.path.read_bytes()
    asked(**other)
    assert asked.path.with_name("to_label-1.jsonl").read_bytes() == before
    asked()
    assert asked.path.with_name("to_label-2.jsonl").is_file()
    assert asked.path.read_bytes() == before


def test_that_a_list_was_put_aside_is_told(asked: Asker) -> None:
    asked()
    rows = [{key: row[key] for key in ("text", "why")} | {"label": "late"} for row in asked.lines]
    asked.path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    asked()
    assert any("to_label-1.jsonl now" in line for line in asked.told)


def test_a_file_that_is_not_a_list_is_put_aside(asked: Asker) -> None:
    asked.path.write_text("my notes\n", encoding="utf-8")
    asked()
    assert asked.path.with_name("to_label-1.jsonl").read_text(encoding="utf-8") == "my notes\n"
    assert len(asked.lines) == 3


def test_separators_of_lines_in_a_text_do_not_make_it_another_list(asked: Asker) -> None:
    pool = Split("pool", ["one\u2028line", "two\u0085lines", "a parcel came late"])
    first = asked(pool=pool)
    assert asked(pool=pool) == first
    assert not asked.path.with_name("to_label-1.jsonl").exists()


def test_an_empty_list_is_not_put_aside(asked: Asker) -> None:
    pool = Split("pool", TEXTS[3:])
    assert not asked(pool=pool).doubtful
    asked(pool=pool)
    assert not asked.path.with_name("to_label-1.jsonl").exists()
