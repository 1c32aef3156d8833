"""Checks that artifacts load in optimum and predict the same there.

optimum-onnx 0.1.0 needs transformers below 4.58 and LiteFT needs transformers 5, so they cannot share an environment.
Therefore this script runs twice. Started by you, it asks LiteFT for the logits of some texts, makes a virtual
environment with optimum's own pins, and starts itself there. That second process loads the folder as a user of optimum
would, with ORTModelForSequenceClassification and AutoTokenizer, and writes its logits. Then both are compared. The last
line printed is a JSON document; the exit status is 1 if they disagree.

    python bench/check_optimum.py OUT/fp32 OUT/int8 --environment /tmp/optimum
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from machine import ROOT, commit

REQUIREMENTS = (["torch==2.13.0"], ["optimum-onnx==0.1.0", "transformers<4.58", "onnxruntime"])
PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnxruntime", "tokenizers", "numpy")
TEXTS = [
    "A film that knows exactly what it is, and is it beautifully.",
    "terrible",
    "Two hours of my life that nobody will give back to me.",
    "How far is it from Denver to Aspen ?",
    "Please move the alarm from six to half past seven tomorrow morning, and tell me when it rains.",
    "Not good, not bad: a chair.",
    "",
    "Ünïcödé, 漢字 and an emoji 🙂 walk into a bar.",
    "the slow middle act is saved by a performance of rare wit " * 40,
    "What is the capital of Yugoslavia ?",
]


def main() -> int:
    """Compare, write the result, and return 0 if LiteFT and optimum agree, or else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifacts", type=Path, nargs="+", help="artifact folders")
    parser.add_argument("--environment", type=Path, help="folder of the virtual environment, which is made if missing")
    parser.add_argument("--texts", type=Path, help="a text file with one text per line; default: built-in texts")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "optimum.json")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        arguments.inside.write_text(json.dumps(ask_optimum(arguments.artifacts[0], json.loads(sys.stdin.read()))))
        return 0
    if arguments.environment is None:
        parser.error("--environment FOLDER is needed, for a virtual environment with optimum")
    texts = arguments.texts.read_text(encoding="utf-8").splitlines() if arguments.texts else TEXTS
    make_environment(arguments.environment)
    compared = []
    for artifact in arguments.artifacts:
        liteft = ask_liteft(artifact, texts)
        optimum = start_inside(arguments.environment, artifact, {"texts": texts, "pairs": liteft["pairs"]})
        compared.append({"artifact": artifact.name, **compare(liteft, optimum)})
    names = [artifact.name for artifact in arguments.artifacts]
    result = {
        "agrees": all(one["agrees"] for one in compared),
        "texts": len(texts),
        "artifacts": compared,
        "versions": {"liteft": liteft["versions"], "optimum": optimum["versions"]},
        "command": " ".join(["python bench/check_optimum.py", *names, "--environment DIR"]),
        "machine": f"{platform.machine()}, {platform.system()}",
        "commit": commit(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0 if result["agrees"] else 1


def ask_liteft(artifact: Path, texts: list[str]) -> dict[str, Any]:
    """Return LiteFT's logits and labels, and what the manifest says of the file."""
    from liteft.runtime import load

    with load(artifact, device="cpu") as classifier:
        manifest = classifier.manifest
        pairs = texts[::-1] if manifest.paired else None
        logits = classifier.logits(texts, pairs)
        return {
            "pairs": pairs,
            "logits": logits.tolist(),
            "labels": [classifier.labels[row.argmax()] for row in logits],
            "manifest": {
                **{name: getattr(manifest, name) for name in ("family", "pooling", "paired", "graph")},
                "precision": manifest.form.precision,
                "graph_form": "function" if manifest.one_node else "flat",
            },
            "versions": manifest.versions,
        }


def ask_optimum(artifact: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Return optimum's logits, of each text alone and of all texts in one padded batch, and its labels."""
    from importlib import metadata

    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    model = ORTModelForSequenceClassification.from_pretrained(artifact)
    tokenizer = AutoTokenizer.from_pretrained(artifact)

    def logits(start: int, end: int) -> Any:
        columns = [question[name][start:end] for name in ("texts", "pairs") if question[name] is not None]
        return model(**tokenizer(*columns, truncation=True, padding=True, return_tensors="pt")).logits

    count = len(question["texts"])
    batch = logits(0, count)
    return {
        "alone": [logits(row, row + 1)[0].tolist() for row in range(count)],
        "batch": batch.tolist(),
        "labels": [model.config.id2label[int(row.argmax())] for row in batch],
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def make_environment(environment: Path) -> None:
    """Make the virtual environment if it is missing, and install optimum and its pins."""
    if not python_of(environment).is_file():
        print(f"making {environment}, which takes a few minutes", file=sys.stderr)
        venv.create(environment, with_pip=True)
    for packages in REQUIREMENTS:
        subprocess.run([python_of(environment), "-m", "pip", "install", "--quiet", *packages], check=True)


def start_inside(environment: Path, artifact: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Run this script in the virtual environment, and return what it wrote."""
    answer = environment.resolve() / "answer.json"
    command = [python_of(environment), Path(__file__).resolve(), artifact.resolve(), "--inside", answer]
    subprocess.run(command, input=json.dumps(question), text=True, check=True, cwd=environment)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def python_of(environment: Path) -> Path:
    """Return the environment's interpreter."""
    return environment.resolve() / "bin" / "python"


def compare(liteft: dict[str, Any], optimum: dict[str, Any]) -> dict[str, Any]:
    """Return whether both agree (every label, and every logit within the precision's limit), with the numbers."""
    limit = 1e-2 if liteft["manifest"]["precision"] == "int8" else 1e-4
    differences = {
        way: max(
            abs(ours - theirs)
            for ours_row, theirs_row in zip(liteft["logits"], optimum[way], strict=True)
            for ours, theirs in zip(ours_row, theirs_row, strict=True)
        )
        for way in ("alone", "batch")
    }
    same = sum(ours == theirs for ours, theirs in zip(liteft["labels"], optimum["labels"], strict=True))
    return {
        "agrees": same == len(liteft["labels"]) and max(differences.values()) <= limit,
        "same_labels": same,
        "largest_logit_difference": differences,
        "limit": limit,
        **liteft["manifest"],
    }


if __name__ == "__main__":
    sys.exit(main())
