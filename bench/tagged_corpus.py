"""Make the bundled tagged texts, liteft/data/tagged, of the frames and values in bench/tagged_corpus.txt.

    python bench/tagged_corpus.py

No frame is in two splits, and some values are in validation or test alone, so neither frames nor names can be learned
by heart. Some texts are lower-cased, in capitals, misspelt, or without spaces after their commas. Each call writes the
same files.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from machine import ROOT

from liteft.data import normalised

SOURCE = ROOT / "bench" / "tagged_corpus.txt"
TARGET = ROOT / "liteft" / "data" / "tagged"
COPIES = {"train": 5, "validation": 6, "test": 5}  # texts of a frame with a choice
NEW = {"train": 0.0, "validation": 0.4, "test": 0.5}  # share of the values that no other split has
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NO_ON = re.compile(r"tomorrow|next|this|mid|early")  # before these there is no "on"
TITLE = re.compile(r"(Mrs?|Ms|Miss|Dr|Herr|Madame|Uncle|Tante)\b")
EMOJI = ("🙏", "😡", "👍", "😅", "🎉", "📦")
Parts = list[tuple[str, str | None]]  # pieces of a text, each with the type of its span
Values = dict[tuple[str, str], list[str]]


def read() -> tuple[dict[str, list[str]], Values]:
    """Return the frames of each split, and the values of each type and split."""
    frames: dict[str, list[str]] = {}
    values: Values = {}
    into: list[str] | None = None
    for line in SOURCE.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            into = frames.setdefault(line[3:], [])
        elif line.startswith("-- "):
            kind, split = line[3:].split()
            into = None
        elif line and not line.startswith("#") and into is not None:
            into.append(line)
        elif " ; " in line and into is None and frames:
            values[kind, split] = line.split(" ; ")
    return frames, values


def filled(frame: str, split: str, values: Values, draw: random.Random) -> Parts:
    """Return a frame with its choices made."""
    frame = re.sub(r"<([^>]*\|[^>]*)>", lambda found: draw.choice(found[1].split("|")), frame)
    parts: Parts = []
    taken: set[str] = set()
    for piece in re.split(r"(\{\w+\}|\[[^\]]*\])", frame):
        if piece.startswith("["):
            text, kind = piece[1:-1].split("|")
            parts.append((text, kind))
        elif piece.startswith("{"):
            kind = piece[1:-1]
            before = parts[-1][0].split()[-1:] if parts and parts[-1][0].endswith(" ") else []
            text = _value(kind, before[0] if before else "", split, values, draw, taken)
            taken.add(text)
            parts.append((text, kind))
        elif piece:
            parts.append((piece, None))
    return parts


def _value(kind: str, before: str, split: str, values: Values, draw: random.Random, taken: set[str]) -> str:
    """Return a value that fits the word before it."""
    while True:
        text = draw.choice(values[kind, split if draw.random() < NEW[split] else "train"])
        if before.lower() == "this" and kind == "date":
            text = draw.choice(DAYS)
        unfit = (before.lower() == "on" and NO_ON.match(text)) or (before == "Dr." and TITLE.match(text))
        if text not in taken and not unfit:
            return text


def roughened(parts: Parts, draw: random.Random) -> Parts:
    """Return a text as people type it, some of the time."""
    kind = draw.random()
    if kind < 0.14:
        parts = [(text.lower(), label) for text, label in parts]
    elif kind < 0.18:
        parts = [(text.upper(), label) for text, label in parts]
    if draw.random() < 0.1:
        parts = [
            (_misspelt(text, draw) if label is None or draw.random() < 0.25 else text, label) for text, label in parts
        ]
    if draw.random() < 0.08:
        parts = [(re.sub(r"([,?!]) ", r"\1", text) if label is None else text, label) for text, label in parts]
    last, label = parts[-1]
    if draw.random() < 0.15 and label is None:
        parts = [*parts[:-1], (last.rstrip(".?!"), None)]
    elif draw.random() < 0.07:
        parts = [*parts, (draw.choice(["!!", "...", "??", "!!!!"]), None)]
    if draw.random() < 0.06:
        parts = [*parts, (" " + draw.choice(EMOJI), None)]
    return [part for part in parts if part[0]]


def _misspelt(text: str, draw: random.Random) -> str:
    """Return a text with one of its longer words misspelt."""
    words = list(re.finditer(r"[A-Za-z]{5,}", text))
    if not words:
        return text
    word = draw.choice(words)
    at = draw.randrange(word.start() + 1, word.end() - 2)
    other = draw.choice([text[at + 1] + text[at], text[at], text[at] * 2 + text[at + 1]])
    return text[:at] + other + text[at + 2 :]


def row(parts: Parts) -> dict[str, object]:
    """Return a text with its spans."""
    at, spans = 0, []
    for text, label in parts:
        if label is not None:
            spans.append({"start": at, "end": at + len(text), "label": label})
        at += len(text)
    return {"text": "".join(text for text, _ in parts), "spans": spans}


def main() -> None:
    frames, values = read()
    TARGET.mkdir(exist_ok=True)
    seen: set[str] = set()
    for split, own in frames.items():
        draw = random.Random(split)
        rows = []
        for frame in own:
            open_frame = re.search(r"\{|<[^>]*\|", frame) is not None
            made = 0
            for _ in range(50):
                parts = filled(frame, split, values, draw)
                found = row(roughened(parts, draw) if open_frame else parts)
                key = " ".join(re.findall(r"\w+", normalised(str(found["text"]))))
                if key not in seen:
                    seen.add(key)
                    rows.append(found)
                    made += 1
                if made == (COPIES[split] if open_frame else 1):
                    break
        draw.shuffle(rows)
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
        Path(TARGET / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{split}: {len(own)} frames, {len(rows)} texts, {sum(bool(each['spans']) for each in rows)} with spans")


if __name__ == "__main__":
    main()
