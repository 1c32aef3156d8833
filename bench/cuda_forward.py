"""Runs one forward pass of LiteFT on a GPU for a profiler, which is started only for that pass.

    ncu --profile-from-start off ... python bench/cuda_forward.py --work FOLDER [--model MiniLM-L6] [--precision bf16]

FOLDER contains the classifiers that bench/cuda_engines.py has made. The batch is 64 texts of 128 tokens, a whole chunk.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from pathlib import Path

from cuda_liteft import PRECISIONS, LiteFT
from cuda_plan import MODELS, MOST_TOKENS, REHEARSES, ids_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", choices=MODELS, default="MiniLM-L6")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    arguments = parser.parse_args()
    contestant = LiteFT(arguments.work / arguments.model, "cuda", precision=arguments.precision)
    ids = ids_of([min(128, MOST_TOKENS)] * (3 if REHEARSES else 64))
    contestant.run(ids)  # captures the CUDA graph
    profiler("cuProfilerStart")
    logits = contestant.run(ids)
    profiler("cuProfilerStop")
    contestant.close()
    print(f"{len(ids)} texts, logits of {logits.shape[1]} labels")
    return 0


def profiler(function: str) -> None:
    """Call a function of the CUDA driver, which a rehearsal does not have."""
    if not REHEARSES:
        getattr(ctypes.CDLL("libcuda.so.1"), function)()


if __name__ == "__main__":
    sys.exit(main())
