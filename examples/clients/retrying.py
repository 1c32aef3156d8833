"""Classify the lines of stdin with a server, in batches, and wait as it says when it is full.

    python examples/clients/retrying.py http://127.0.0.1:8080 --batch 64 <texts.txt

A server that is full answers 429, one that starts or ends 503, both with Retry-After: its own estimate of when there is
room. A client that waits so long, and a little longer by chance, loses no text and does not make a queue worse. What is
wrong with a request (4xx) stays wrong, so it is not tried again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from typing import Any

import httpx2

TRIES = 8


def predict(client: httpx2.Client, texts: list[str]) -> list[list[dict[str, Any]]]:
    """Return the labels of each text with their scores, best first.

    Raises:
        httpx2.HTTPStatusError: the server refused the request, or was full each time.
        httpx2.TransportError: it could not be reached.
    """
    for left in reversed(range(TRIES)):
        pause = 1.0
        try:
            answer = client.post("/predict", json={"inputs": [[text] for text in texts]})
        except httpx2.TransportError:  # a prediction changes nothing, so it may be asked for twice
            if not left:
                raise
        else:
            if answer.status_code not in (429, 503) or not left:
                break
            pause = float(answer.headers.get("Retry-After", pause))
        time.sleep(pause * random.uniform(1, 1.5))  # so that not all who were refused come back together
    answer.raise_for_status()
    found: list[list[dict[str, Any]]] = answer.json()
    return found


def main() -> None:
    """Write one line of JSON for each line of stdin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--key", default=None)
    given = parser.parse_args()
    headers = {} if given.key is None else {"Authorization": f"Bearer {given.key}"}
    with httpx2.Client(base_url=given.url, headers=headers, timeout=60) as client:
        texts = (line.rstrip("\n") for line in sys.stdin)
        while batch := list(itertools.islice(texts, given.batch)):
            for text, (best, *_) in zip(batch, predict(client, batch), strict=True):
                print(json.dumps({"text": text, **best}, ensure_ascii=False))


if __name__ == "__main__":
    main()
