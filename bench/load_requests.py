"""The requests of bench/serve_load.py: real texts, mixes of their lengths, and the bodies that servers read.

A request is made once, as the bytes that go over the connection, so that sending it costs the generator little.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_texts import read_texts

MIXES: dict[str, dict[str, float]] = {  # shares of texts of each set; mean tokens in brackets
    "short": {"clinc150": 1.0},  # 11
    "medium": {"sst2": 1.0},  # 25
    "long": {"imdb": 1.0},  # 187
    "mixed": {"clinc150": 0.5, "sst2": 0.3, "news": 0.15, "imdb": 0.05},  # 31
}
MODEL = "minilm"  # the name that servers with names are given


@dataclass(frozen=True)
class Dialect:
    """How a server is asked.

    Attributes:
        path: route of a request.
        ready: route that answers 200 when the server can answer requests.
        body: makes the body for texts.
        answers: returns the answers in a body, one for each text.
        label: returns the label of an answer.
    """

    path: str
    ready: str
    body: Callable[[Sequence[str]], Any]
    answers: Callable[[Any], Sequence[Any]]
    label: Callable[[Any], str]


def _tei(texts: Sequence[str]) -> Any:
    return {"inputs": texts[0] if len(texts) == 1 else [[text] for text in texts]}


DIALECTS = {
    "tei": Dialect(
        "/predict",
        "/readyz",
        _tei,
        lambda body: body if isinstance(body[0], list) else [body],
        lambda answer: answer[0]["label"],
    ),
    "plain": Dialect(
        "/classify",
        "/ready",
        lambda texts: {"texts": texts},
        lambda body: body["predictions"],
        lambda answer: answer["label"],
    ),
    "infinity": Dialect(
        "/classify",
        "/health",
        lambda texts: {"model": MODEL, "input": texts},
        lambda body: body["data"],
        lambda answer: max(answer, key=lambda each: each["score"])["label"],
    ),
    "kserve": Dialect(
        f"/v1/models/{MODEL}:predict",
        f"/v2/models/{MODEL}/ready",
        lambda texts: {"instances": texts},
        lambda body: body["predictions"],
        lambda answer: f"LABEL_{answer}",
    ),
}


def draw_texts(data: Path, mix: str, count: int, seed: int = 0) -> list[str]:
    """Return ``count`` texts of a mix, drawn with its shares; the same each time for the same seed."""
    sets = {name: read_texts(data, name) for name in MIXES[mix]}
    drawn = random.Random(seed)
    names = drawn.choices(list(sets), list(MIXES[mix].values()), k=count)
    return [drawn.choice(sets[name]) for name in names]


def requests_of(texts: Sequence[str], size: int, dialect: Dialect) -> list[bytes]:
    """Return HTTP requests with ``size`` texts each, for all texts but a rest that is smaller."""
    groups = [texts[first : first + size] for first in range(0, len(texts) - size + 1, size)]
    return [request(dialect.path, dialect.body(group)) for group in groups]


def request(path: str, body: Any, headers: Sequence[str] = ()) -> bytes:
    """Return the bytes of a POST request with a JSON body."""
    content = json.dumps(body, ensure_ascii=False).encode()
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content


def wrong_answers(samples: dict[int, tuple[bytes, bytes]], texts: Sequence[int], dialect: Dialect) -> list[int]:
    """Return the requests, of those whose accepted answers were kept, that did not get one answer for each text."""
    return [
        number
        for number, (head, body) in samples.items()
        if head[9:12] == b"200" and len(dialect.answers(json.loads(body))) != texts[number]
    ]
