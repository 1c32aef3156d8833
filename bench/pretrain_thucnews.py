"""What pretraining on a task's own texts is worth: THUCNews headlines, for which there is no base on this machine.

A BERT of random weights is pretrained on the texts of the training split, without their labels; the base is fine-tuned,
and the teacher distilled into two layers. Beside it stand a teacher of the same size and vocabulary that was not
pretrained, the control of the student, and the floors. Settings are chosen on validation; the test split is scored
once, at the end of each run.

    python bench/pretrain_thucnews.py --data ../shared/data/thucnews_headlines --runs RUNS/thucnews

Chinese has no spaces, so the pieces of a Unigram vocabulary that is trained on the headlines are their frequent words,
where BERT's vocabulary has single characters. --vocabulary-file takes another one, such as BERT's.

Runs are ordinary run folders, resumed or reused by the next call; --max-steps N ends each training after N steps, to
try it. The last line printed is a JSON document, as in bench/results/pretrain_thucnews.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

from liteft import Recipe, distill, finetune, load_dataset, pretrain
from liteft.run import Run

PACKAGES = ("liteft", "torch", "transformers", "tokenizers")


def main() -> int:
    """Pretrain, fine-tune, distil, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=8_000, help="tokens of a Unigram vocabulary to train")
    parser.add_argument("--vocabulary-file", type=Path, help="in the place of it: vocab.txt or tokenizer.json")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="more texts of the kind, without labels")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--size", default="4x256")
    parser.add_argument("--epochs", type=float, default=40, help="of pretraining")
    parser.add_argument("--batch-size", type=int, default=128, help="of pretraining")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of pretraining")
    parser.add_argument("--max-tokens", type=int, default=32, help="a headline has 13 pieces or 19 characters")
    parser.add_argument("--student", default="2", help="size of the student")
    parser.add_argument("--threads", type=int, help="of each training")
    parser.add_argument("--max-steps", type=int, help="of each training; None for all of them")
    given = parser.parse_args()
    data = load_dataset(given.data)
    shared = {"max_steps": given.max_steps, "threads": given.threads}
    started = {"size": given.size, "max_tokens": given.max_tokens}
    if given.vocabulary_file:
        vocabulary = {"vocabulary_file": str(given.vocabulary_file)}
    else:
        vocabulary = {"vocabulary": given.vocabulary, "vocabulary_kind": "unigram"}
    base = pretrain(
        out=given.runs / "base",
        progress=tell,
        texts=[str(given.data / "train.jsonl"), *map(str, given.texts)],
        epochs=given.epochs,
        batch_size=given.batch_size,
        learning_rate=given.learning_rate,
        **vocabulary,
        **started,
        **shared,
    )
    unpretrained = finetune(
        None,
        data,
        out=given.runs / "unpretrained",
        progress=tell,
        from_scratch=True,
        vocabulary_file=str(base.path / "model" / "tokenizer.json"),
        **started,
        **shared,
    )
    recipe = Recipe.model_validate({"teacher": {"max_tokens": given.max_tokens, **shared}})
    made = distill(
        str(base.path),
        data,
        out=given.runs / "distilled",
        recipe=recipe,
        until="student",
        progress=tell,
        size=given.student,
        control=True,
        **shared,
    )
    assert made.teacher is not None
    runs = {"unpretrained": unpretrained, "teacher": made.teacher, "student": made.students[0]}
    runs["control"] = made.controls[0]
    info = base.info
    result: dict[str, Any] = {
        "command": command(given),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
        "data": {"name": data.name, "rows": {name: len(split) for name, split in data.splits.items()}},
        "pretraining": {
            **{name: info[name] for name in ("parameters", "steps", "training_seconds", "precision", "metrics")},
            "data": info["data"] | {"name": f"{given.data.name}/train.jsonl"},
            "steps_per_second": round(info["steps"] / max(0.1, info["training_seconds"]), 2),
        },
        "runs": {name: described(run) for name, run in runs.items()},
        "comparison": None if made.seeds is None else made.seeds.to_dict(),
        "floors": [] if made.floors is None else [row.to_dict() for row in made.floors.rows],
    }
    write_result(ROOT / "bench" / "results" / "pretrain_thucnews.json", result)
    return 0


def command(given: argparse.Namespace) -> str:
    """Return the command that was given, without the places of this machine."""
    words = ["python bench/pretrain_thucnews.py", f"--data DATA/{given.data.name}", "--runs RUNS"]
    names = ("size", "epochs", "batch_size", "learning_rate", "max_tokens", "student", "threads", "max_steps")
    for name in ("vocabulary" if given.vocabulary_file is None else "vocabulary_file", *names):
        value = getattr(given, name)
        if value is not None:
            words.append(f"--{name.replace('_', '-')} {value.name if isinstance(value, Path) else value}")
    return " ".join(words)


def described(run: Run) -> dict[str, Any]:
    """Return what a run reached, and in how much time."""
    names = ("accuracy", "accuracy_interval", "macro_f1", "log_loss")
    metrics = {split: {name: values[name] for name in names if name in values} for split, values in run.metrics.items()}
    told = {name: run.info[name] for name in ("parameters", "steps", "training_seconds", "learning_rate")}
    return {**told, "metrics": {split: metrics[split] for split in ("validation", "test") if split in metrics}}


if __name__ == "__main__":
    sys.exit(main())
