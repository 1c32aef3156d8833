"""Measures memory and time of training steps by how large freed blocks are that the process keeps for later steps.

    python bench/training_memory.py --steps 40

A BERT of MiniLM-L6's sizes with random weights learns to answer questions (two logits for each token) from batches of
32 random rows, each batch of another length, as batches by length are. Each way trains in a process of its own, on one
thread: blocks of up to 1 GB are kept; those of up to the size of the largest weight, as LiteFT does; or none beyond
what glibc keeps by itself. A process reports its peak memory and the median seconds of a step of 384 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from machine import ROOT, commit, machine, tell, versions, write_result

WAYS = ("1 GB", "largest weight", "glibc's own")
BATCH, SHORTEST, LONGEST = 32, 128, 384


def main() -> int:
    """Measure all ways, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/training_memory.json")
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(train(arguments.worker, arguments.steps)))
        return 0
    before, rows = machine(), []
    for number in range(arguments.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--worker", way, "--steps", str(arguments.steps)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            rows.append({"round": number, "kept": way, **json.loads(done.stdout.splitlines()[-1])})
            tell(str(rows[-1]))
    result = {
        "command": f"python bench/training_memory.py --steps {arguments.steps} --rounds {arguments.rounds}",
        "machine": before,
        "versions": versions(("liteft", "torch", "transformers")),
        "commit": commit(),
        "batch": BATCH,
        "lengths": [SHORTEST, LONGEST],
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


def train(way: str, steps: int) -> dict[str, float]:
    """Return the peak memory in GB and the median seconds of a step."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    from liteft.finetuning.allocation import large_buffers_reused
    from liteft.report.measure import peak_memory_bytes

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertForQuestionAnswering(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    largest = max(weight.nbytes for weight in model.parameters())
    keeping = {"1 GB": large_buffers_reused(1 << 30), "largest weight": large_buffers_reused(largest)}
    seconds = []
    with keeping.get(way, nullcontext()):
        for _ in range(steps):
            begin = time.perf_counter()
            tokens = int(torch.randint(SHORTEST, LONGEST + 1, ()))
            ids = torch.randint(1000, config.vocab_size, (BATCH, tokens))
            places = torch.randint(0, tokens, (2, BATCH))
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(ids, start_positions=places[0], end_positions=places[1]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append((time.perf_counter() - begin) / tokens * LONGEST)
    peak = peak_memory_bytes()
    return {"peak_gb": round((peak or 0) / 1e9, 2), "seconds": round(statistics.median(seconds), 3)}


if __name__ == "__main__":
    sys.exit(main())
