"""Measures the peak memory of fine-tuning a decoder: all weights, an adapter, an adapter on an 8-bit or 4-bit base.

    python bench/adapter_memory.py --layers 16 --width 1024

The base is a GPT-2 of that size with random weights, since the values of the weights do not change any size. Each way
trains two steps of 8 texts of the bundled corpus, truncated to 64 tokens, in a process of its own. The process reports
its peak memory (VmHWM) at its end, and the sizes of the run's model folder and largest checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "adapter": {"lora_rank": 16},
    "adapter, 8 bit": {"base_quantization": "8bit"},
    "adapter, 4 bit": {"base_quantization": "4bit"},
    "adapter, 4 bit, layers computed again": {"base_quantization": "4bit", "gradient_checkpointing": True},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/adapter_memory.json")
    parser.add_argument("--worker", nargs=3, metavar=("BASE", "OUT", "SETTINGS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return train(Path(arguments.worker[0]), Path(arguments.worker[1]), json.loads(arguments.worker[2]))
    rows = []
    with tempfile.TemporaryDirectory(prefix="liteft-") as folder:
        base = Path(folder) / "base"
        parameters = write_base(base, arguments.layers, arguments.width)
        for way, settings in WAYS.items():
            tell(way)
            command = [sys.executable, __file__, "--worker", str(base), str(Path(folder) / "run"), json.dumps(settings)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            rows.append({"way": way, **json.loads(done.stdout.splitlines()[-1])})
            tell(str(rows[-1]))
            subprocess.run(["rm", "-rf", str(Path(folder) / "run")], check=True)
    result = {
        "command": shlex.join(
            ["python", "bench/adapter_memory.py", "--layers", str(arguments.layers), "--width", str(arguments.width)]
        ),
        "machine": machine(),
        "versions": versions(("liteft", "torch", "transformers", "peft", "bitsandbytes")),
        "commit": commit(),
        "base_parameters": parameters,
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


def write_base(folder: Path, layers: int, width: int) -> int:
    """Write a GPT-2 with a tokenizer trained on the corpus, and return its number of parameters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4000, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(dataset().train.texts, trainer)
    end = tokenizer.token_to_id("<|endoftext|>")
    shape = {"n_embd": width, "n_layer": layers, "n_head": width // 64, "n_positions": 64}
    size = {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": end, "eos_token_id": end}
    model = GPT2Model(GPT2Config(**shape, **size))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return sum(parameter.numel() for parameter in model.parameters())


def dataset() -> Any:
    """Return the bundled corpus, reduced to 16 training texts and 8 of each other split."""
    from dataclasses import replace

    import numpy as np

    import liteft

    whole = liteft.load_dataset(Path(liteft.__file__).parent / "data" / "corpus")
    counts = {"train": 16, "validation": 8, "test": 8}
    return replace(whole, splits={name: whole.splits[name].take(np.arange(count)) for name, count in counts.items()})


def train(base: Path, out: Path, settings: dict[str, Any]) -> int:
    """Train one way in this process, and print its memory and the sizes on disk."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    from transformers import TrainerCallback

    import liteft
    from liteft.report.measure import peak_memory_bytes

    saved: list[int] = []

    class Looking(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, *_given: Any, **_rest: Any) -> None:
            files = [path.stat().st_size for path in Path(args.output_dir).rglob("*") if path.is_file()]
            saved.append(sum(files))

    common = {"max_steps": 2, "batch_size": 8, "max_tokens": 64, "training_precision": "fp32"}
    run = liteft.finetune(base, dataset(), out=out, callbacks=[Looking()], **common, **settings)
    folder = sum(path.stat().st_size for path in run.model_path.iterdir())
    peak = peak_memory_bytes()
    print(
        json.dumps(
            {
                "peak_mb": None if peak is None else round(peak / 1e6),
                "model_folder_mb": round(folder / 1e6, 1),
                "checkpoint_mb": round(max(saved) / 1e6, 1),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
