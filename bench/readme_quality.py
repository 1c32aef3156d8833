"""Tables about quality for README.md and docs/, from stored results alone: see bench/readme.py."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from machine import ROOT
from model_card import table_text
from stored import stored_comparison

from liteft import files
from liteft.text_tables import markdown, points, share

__all__ = [
    "advise", "advise_demo", "arms", "arms_in_short", "demo", "demo_in_full", "models", "pretraining", "small_models",
    "teacher_searches", "vocabulary",
]  # fmt: skip

Results = Mapping[str, Any]

# What was set up, the same in short, and the stored result, in the order of the tables.
SET_UPS = (
    (
        "CLINC150, 10 labels for each of 150 intents and a pool without labels; 3 of 6 layers, 5 subsets",
        "10 labels for each of 150 intents, and a pool; 3 of 6 layers",
        "arms_few_labels",
    ),
    (
        "SST-2, all labels and 200,000 sentences of IMDB without labels; 1 of 6 layers, 3 seeds",
        "sentiment, with a pool; 1 of 6 layers",
        "arms_one_layer",
    ),
    (
        "SST-2, all labels and 200,000 sentences of IMDB; 2x128 from random weights, 1 seed",
        "sentiment, with a pool; 2 narrow layers, from random weights",
        "arms_random_start",
    ),
    (
        "the bundled corpus, all labels of 1,268 texts; 3 of 6 layers, 5 folds",
        "the demo's requests, all labels; 3 of 6 layers",
        "arms_corpus",
    ),
    (
        "THUCNews, Chinese headlines, all labels; 2 of 4 layers of a base pretrained on them, 1 seed",
        "Chinese headlines, all labels; 2 of 4 layers",
        "pretrain_thucnews",
    ),
    (
        "CLINC150, all labels, fold teachers; 3 of 6 layers, 1 seed",
        "150 intents, all labels, fold teachers; 3 of 6 layers",
        "arms_honest_teachers",
    ),
)
ARMS = ("control", "c0", "c2")


def result(name: str) -> Any:
    """Return the stored result of this name."""
    return files.read_json(ROOT / "bench" / "results" / f"{name}.json")


def demo() -> str:
    """Return four rows: teacher, student, control and artifact of the demo."""
    rows = [("", "MB", "ms per text", "accuracy %, 95% interval")]
    names = {"teacher": "teacher, torch", "student": "student, torch", "control": "control, torch"}
    names["artifact"] = "**artifact, int8**"
    models = {model["name"]: model for model in result("demo")["comparison"]["models"]}
    for name, shown in names.items():
        model = models[name]
        found = share(model["metrics"]["accuracy"], model["intervals"]["accuracy"])
        rows.append((shown, f"{model['model_mb']:.1f}", f"{model['latency_p50_ms']:.2f}", found))
    return markdown(rows, texts=1)


def demo_in_full() -> str:
    """Return the demo's comparison as the demo prints it."""
    content = result("demo")
    return f"```text\n{stored_comparison(content['comparison']).render().strip()}\n```"


def arms() -> str:
    """Return the table of students beside students without a teacher, and beside floors."""
    header = ("set-up", "teacher", "student", "C1: control", "C0: no teacher", "C2: itself", "best floor")
    rows = [(*header, "student - C1", "student - C0", "student - C2")]
    for set_up, _, name in SET_UPS:
        means, gains = _arms(result(name))
        accuracies = (f"{100 * means[kind]:.1f}" if kind in means else "" for kind in ("teacher", "student", *ARMS))
        rows.append((set_up, *accuracies, _best_floor(name), *(gains.get(kind, "") for kind in ARMS)))
    return markdown(rows, texts=1)


def arms_in_short() -> str:
    """Return what the teacher's answers add, in a line for each set-up."""
    rows = [("set-up", "student %", "control %", "points gained")]
    for _, set_up, name in SET_UPS:
        means, gains = _arms(result(name))
        rows.append((set_up, f"{100 * means['student']:.1f}", f"{100 * means['control']:.1f}", gains["control"]))
    return markdown(rows, texts=1)


def _arms(content: Results) -> tuple[dict[str, float], dict[str, str]]:
    """Return the mean accuracy of each arm, and the points that the student gains over each; bold beyond chance."""
    if "cross_validation" in content:
        found = content["cross_validation"]
        means = {kind: each["accuracy"] for kind, each in found["metrics"].items()}
        gains = {kind: (each["difference"], each["interval"]) for kind, each in found["student_minus"].items()}
    else:
        found = content["comparison"]
        means = {row["kind"]: row["metrics"]["accuracy"]["mean"] for row in found["rows"]}
        gains = {
            each["against"]: (each["difference"], each["interval"])
            for each in found["differences"]
            if each["metric"] == "accuracy"
        }
    return means, {kind: _bold(*gain) for kind, gain in gains.items()}


def _bold(gain: float, interval: Sequence[float]) -> str:
    low, high = interval
    text = points(gain, (low, high))
    return f"**{text}**" if low > 0 or high < 0 else text


def _best_floor(name: str) -> str:
    """Return the highest mean accuracy that a floor has, over the subsets or folds of a result."""
    found: dict[str, list[float]] = {}
    groups = [result("floors")["sets"]["thucnews_headlines"]] if name == "pretrain_thucnews" else result(name)["floors"]
    for group in groups:
        for floor in group["floors"]:
            found.setdefault(floor["name"], []).append(floor["metrics"]["test"]["accuracy"])
    return f"{100 * max(map(statistics.mean, found.values())):.1f}"


def models() -> str:
    """Return the table of models/, with links from docs/."""
    found = [files.read_json(path) for path in sorted((ROOT / "models").glob("*/results.json"))]
    return table_text(found).replace("](", "](../models/")


def small_models() -> str:
    """Return the table of artifacts below 10 MB."""
    header = ("data", "student", "tokens kept", "teacher, MB", "artifact, MB", "best floor %", "teacher %")
    rows = [(*header, "artifact %, 95% interval", "of the teacher's")]
    for model in result("small_models")["models"]:
        first = model["students"][0]
        floors = result("floors")["sets"][model["name"].removesuffix("-1x384")]["floors"]
        floor = max(each["metrics"]["test"]["accuracy"] for each in floors)
        accuracy = share(first["accuracy"], first["interval"])
        if len(model["students"]) > 1:
            accuracy = f"{100 * model['mean_accuracy']:.1f}, mean of {len(model['students'])} seeds"
        beaten = "" if model["mean_accuracy"] > floor else ", not better than the floor"
        rows.append(
            (
                model["name"].removesuffix("-1x384"),
                first["size"],
                f"{first['tokens']:,}",
                f"{model['teacher_mb']:.1f}",
                f"{model['largest_mb']:.1f}",
                f"{100 * floor:.1f}",
                f"{100 * model['teacher_accuracy']:.1f}",
                accuracy + beaten,
                f"{100 * model['mean_share_of_teacher']:.1f}%",
            )
        )
    return markdown(rows, texts=2)


def vocabulary() -> str:
    """Return what a smaller vocabulary costs SST-2's student, trimmed at export."""
    budgets = result("vocabulary_sst2")["budgets"]
    rows = [("tokens kept", "folder in int8, MB", "accuracy %", "points, against all tokens", "tokenized as before")]
    whole = budgets[0]
    rows.append((f"{whole['of']:,}", "", f"{100 * whole['test']['whole_accuracy']:.1f}", "", "100%"))
    for budget in sorted(budgets, key=lambda each: -each["tokens"]):
        test = budget["test"]
        paired = test["paired"]
        rows.append(
            (
                f"{budget['tokens']:,}",
                f"{budget['int8']['folder_bytes'] / 1e6:.1f}",
                f"{100 * test['accuracy']:.1f}",
                points(paired["difference"], (paired["low"], paired["high"])),
                f"{100 * test['unchanged_tokens']:.1f}%",
            )
        )
    return markdown(rows, texts=0)


def pretraining() -> str:
    """Return what pretraining on the texts of THUCNews themselves brings."""
    content = result("pretrain_thucnews")
    rows = [("THUCNews headlines, test", "accuracy %, 95% interval")]
    shown = {"unpretrained": "4x256 from random weights", "teacher": "4x256, pretrained on the texts"}
    shown["student"] = "its student, 2 layers"
    for name, words in shown.items():
        test = content["runs"][name]["metrics"]["test"]
        rows.append((words, share(test["accuracy"], test["accuracy_interval"])))
    rows.append(("TF-IDF of characters with a linear SVM", _best_floor("pretrain_thucnews")))
    minutes = content["pretraining"]["training_seconds"] / 60
    return f"{markdown(rows, texts=1)}\n\nPretraining took {minutes:.0f} minutes of one core: `{content['command']}`."


def teacher_searches() -> str:
    """Return what small searches for settings of teachers found, judged on validation."""
    rows = [("data", "settings, where they differ from the recipe", "validation accuracy %")]
    for name in ("sst2", "clinc150", "trec"):
        for found in result(f"teacher_search_{name}")["candidates"]:
            rows.append((name, f"`{found['settings']}`", share(found["validation"], found["interval"])))
    return markdown(rows, texts=2)


def advise() -> str:
    """Return, in a sentence, how well `liteft advise` predicts the accuracy after twice the labels."""
    content = result("advise")
    return (
        f"On {len(content['sets'])} sets the metric after the last doubling of the labels was predicted with a mean "
        f"error of {content['errors']['doubling']:.1f} points (`{content['command']}`)."
    )


def advise_demo() -> str:
    """Return the advice on the bundled corpus, without the texts of doubtful labels."""
    content = result("advise_demo")
    parts = content["text"].strip().split("\n\n")
    shown = "\n\n".join(part for part in parts if not part.startswith("the most doubtful labels"))
    return f"```text\n{shown}\n```\n\n`{content['command']}`."
