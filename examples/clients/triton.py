"""Classify with Triton's client, over the Open Inference Protocol (v2): texts as BYTES, in binary.

    python examples/clients/triton.py 127.0.0.1:8080 reviews "great film" "dull and too long"

KServe's clients speak the same protocol.
"""

from __future__ import annotations

import argparse

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput


def main() -> None:
    """Print the label of each text, its score, and whether it was truncated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+")
    given = parser.parse_args()

    client = InferenceServerClient(given.address)
    if not client.is_model_ready(given.model):
        raise SystemExit(f"{given.model} is not ready at {given.address}")
    texts = InferInput("text", [len(given.texts)], "BYTES")
    texts.set_data_from_numpy(np.array(given.texts, dtype=object))
    names = ("label", "score", "truncated")
    answer = client.infer(given.model, [texts], outputs=[InferRequestedOutput(name) for name in names])
    columns = [answer.as_numpy(name) for name in names]
    for text, label, score, truncated in zip(given.texts, *columns, strict=True):
        print(f"{label.decode()}\t{score:.4f}\t{'truncated' if truncated else 'whole'}\t{text}")


if __name__ == "__main__":
    main()
