"""Where rows begin in parts of text files: exact for every offset, whatever the cells hold."""

from __future__ import annotations

import csv
import io
import random

import pytest

from liteft.bulk import boundaries
from liteft.bulk.boundaries import Dialect, first_row, row_start

CELLS = ["", '"a\nb"', '"x, y ""q"" \n, z"', '""', 'plain 5" pipe', '"long text, and so on"', "word", '","', '"""\n"']


def true_starts(text: str) -> list[int]:
    """The places where rows begin, read from the beginning by Python's csv module, and the end. ASCII alone."""
    lines = list(io.StringIO(text, newline=""))
    places = [0]
    for line in lines:
        places.append(places[-1] + len(line))
    reader = csv.reader(iter(lines), strict=True)
    return [places[reader.line_num] for _ in reader]


def random_table(draw: random.Random, width: int) -> str:
    end = draw.choice(["\n", "\r\n"])
    rows = [",".join(draw.choice(CELLS) for _ in range(width)) for _ in range(draw.randrange(1, 25))]
    if draw.random() < 0.3:
        rows.insert(draw.randrange(len(rows)), "")
    return end.join([",".join("abc"[:width]), *rows]) + draw.choice(["", end])


@pytest.mark.parametrize("looks", [(8,), (16, 64), (1 << 16, 1 << 20)])
@pytest.mark.parametrize("backs", [(0,), (0, 40)])
def test_every_offset_leads_to_the_first_row_at_or_after_it(
    monkeypatch: pytest.MonkeyPatch, looks: tuple[int, ...], backs: tuple[int, ...]
) -> None:
    monkeypatch.setattr(boundaries, "_LOOKS", looks)
    monkeypatch.setattr(boundaries, "_BACKS", backs)
    for seed in range(120):
        draw = random.Random(seed)
        monkeypatch.setattr(boundaries, "_CHUNK", draw.choice([7, 64, 1 << 20]))
        width = draw.choice([1, 2, 3])
        text = random_table(draw, width)
        file, size = io.BytesIO(text.encode()), len(text)
        dialect = Dialect(",", True, width)
        starts = true_starts(text)
        first = first_row(file, size, dialect, told=False)
        assert first == starts[0], text
        for offset in range(size + 1):
            wanted = next(start for start in [*starts, size] if start >= offset)
            assert row_start(file, offset, first, size, dialect) == wanted, (text, offset)


def test_a_file_without_quotes_is_not_read_to_its_end() -> None:
    class Counting(io.BytesIO):
        longest = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            Counting.longest = max(Counting.longest, self.tell())
            return data

    row = b"12345,a text of some words\n"
    data = row * ((40 << 20) // len(row))
    file = Counting(data)
    assert row_start(file, 1000, len(row), len(data), Dialect(",", True, 2)) == -(-1000 // len(row)) * len(row)
    assert Counting.longest < len(data)


@pytest.mark.parametrize(("offset", "wanted"), [(0, 4), (4, 4), (5, 8), (8, 8), (9, 12), (12, 12), (50, 12)])
def test_lines_are_cut_behind_a_line_feed(offset: int, wanted: int) -> None:
    assert row_start(io.BytesIO(b"abc\ndef\nghi\n"), offset, 4, 12, Dialect()) == wanted


@pytest.mark.parametrize(
    ("data", "told", "wanted"),
    [
        (b"\xef\xbb\xbfa,b\n1,2\n", False, 7),
        (b"sep=;\na;b\n1;2\n", True, 10),
        (b"\n\na,b\n1,2\n", False, 6),
        (b'"a\nx",b\n1,2\n', False, 8),
        (b"a,b", False, 3),
    ],
)
def test_the_first_row_is_behind_the_names(data: bytes, told: bool, wanted: int) -> None:
    dialect = Dialect(";" if told else ",", True, 2)
    assert first_row(io.BytesIO(data), len(data), dialect, told=told) == wanted
