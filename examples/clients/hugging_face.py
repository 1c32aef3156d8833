"""Classify with huggingface_hub's InferenceClient, as with a model that Hugging Face hosts.

    python examples/clients/hugging_face.py http://127.0.0.1:8080 "great film"

The server's route for it is /pipeline: of what the others answer, the client would keep the best label alone.
"""

from __future__ import annotations

import argparse

from huggingface_hub import InferenceClient


def main() -> None:
    """Print the labels of each text with their scores, best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--key", default=None)
    given = parser.parse_args()

    key = given.key or "none"  # without one, the client would send your key for Hugging Face to this server
    client = InferenceClient(model=f"{given.url.rstrip('/')}/pipeline", token=key, timeout=60)
    for text in given.texts:
        for found in client.text_classification(text, top_k=3):
            print(f"{found.label}\t{found.score:.4f}\t{text}")


if __name__ == "__main__":
    main()
