"""Measures the settings that liteft/defaults.py chooses, and settings around them, on small parts of several data sets.

    python bench/defaults.py --data ../shared/data --runs RUNS
    python bench/defaults.py --data ../shared/data --runs RUNS --sets trec-fine --only rates

For each set a teacher, and students of three and of one layer, are trained by default; then with one setting changed at
a time: half and twice the learning rate (``--only rates``), half the epochs (``--only half``), with them also twice
the epochs, half and twice the batch (``--only lengths``), the other start of the head, weights kept by another metric
(``--only choice``), another temperature, weight of the labels or loss (``--only losses``). The default student has its
control and stands beside the floors. Everything is judged on validation; test splits are dropped before anything is
trained. Where texts are fewest, trainings are also four times as long, 50 validation texts choose, and the others
judge. On two larger sets only teachers are trained, at lower rates too, which long trainings often need; on CLINC150
with all labels also students of fold teachers, with other weights of the labels (``--only folds`` measures just these).

Each row has its epochs. "default" is what it was when the row was measured: of up to 1,000 texts, 40 passes at most.

RUNS/defaults.jsonl has what is finished, and a stopped measurement goes on from there; what bench/results/defaults.json
has already is not measured again, so a machine may go on where another one stopped (--again measures it anew). The
result has the commands of all its rows, and each row the commit and the processor of its measurement. The table is
printed last on stderr, and on stdout a JSON document, as in bench/results/defaults.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result

from liteft.config import read_recipe
from liteft.data import Dataset, load_dataset
from liteft.errors import LiteftError
from liteft.finetuning import finetune
from liteft.floors import train_floors
from liteft.pipeline import distill
from liteft.run import Run, read_run
from liteft.text_tables import markdown, points, share

PACKAGES = ("liteft", "torch", "transformers", "scikit-learn")
SIZES = ("3x384", "1x384")
FEW = ("sst2-100", "snips-10", "trec-100", "cola-100", "clinc-1", "goemotions-150")
LARGER = ("sst2-16000", "clinc")
_FOLDED = "clinc"
_FOLDS = ((3, 0.1), (3, 0.3), (3, 0.5), (3, 0.7), (5, 0.5))  # number of fold teachers, weight of the labels
ONLY = ("default", "rates", "lengths", "half", "choice", "losses", "folds")
RESULT = ROOT / "bench" / "results" / "defaults.json"
_MOST_VALIDATION = 1_500
_FEW_TO_CHOOSE_BY = 50
_RATES = (
    ("rate / 4", "rate / 4"),
    ("rate / 2", "rate / 2"),
    ("half the rate", "rate / 2"),
    ("default", "rate"),
    ("twice the rate", "rate x 2"),
)
_LENGTHS = ("half the epochs", "twice the epochs", "four times the epochs", "half the batch", "twice the batch")
_KEPT_BY = {"balanced": "kept by both", "metric": "kept by the first"}
Settings = dict[str, Any]


def parts(data: Path) -> dict[str, Callable[[], Dataset]]:
    """Return the sets by name: what they were cut from, and how much of it."""
    return {
        "clinc-10": lambda: load_dataset(data / "clinc150", labels_per_class=10),
        "trec-fine": lambda: load_dataset(data / "trec", label="fine"),
        "sst2-1000": lambda: rows(load_dataset(data / "sst2"), 1_000),
        "snips-50": lambda: replace(load_dataset(data / "snips", label="label", labels_per_class=50), pool=None),
        "goemotions-4000": lambda: rows(load_dataset(data / "goemotions"), 4_000),
        "cola-2000": lambda: rows(load_dataset(data / "cola"), 2_000),
        "imdb-500": lambda: rows(load_dataset(data / "imdb"), 500),
        "sst2-100": lambda: rows(load_dataset(data / "sst2"), 100),
        "snips-10": lambda: replace(load_dataset(data / "snips", label="label", labels_per_class=10), pool=None),
        "trec-100": lambda: rows(load_dataset(data / "trec", label="label"), 100),
        "cola-100": lambda: rows(load_dataset(data / "cola"), 100),
        "clinc-1": lambda: replace(load_dataset(data / "clinc150", labels_per_class=1), pool=None),
        "goemotions-150": lambda: rows(load_dataset(data / "goemotions"), 150),
        "corpus": lambda: load_dataset(ROOT / "liteft" / "data" / "corpus"),
        "sst2-16000": lambda: rows(load_dataset(data / "sst2"), 16_000),
        "clinc": lambda: load_dataset(data / "clinc150"),
    }


def main() -> int:
    """Train what is missing, write the result, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", help="of the data; all by default")
    parser.add_argument("--only", choices=ONLY, help="leave out all other changed settings")
    parser.add_argument("--again", action="store_true", help="ignore what bench/results/defaults.json has")
    parser.add_argument("--threads", type=int, help="of every training")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    if not given.again:
        adopt(given.runs)
    known = parts(given.data)
    common = {} if given.threads is None else {"threads": given.threads}
    try:
        for name in given.sets or known:
            measure(name, judged(name, known[name]()), given.runs, common, only=given.only)
    except LiteftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    words = [f"--{name} {value}" for name, value in (("only", given.only), ("threads", given.threads)) if value]
    words += ["--sets", *given.sets] if given.sets else []
    command = " ".join(["python bench/defaults.py --data DATA --runs RUNS", *words])
    earlier = [] if given.again or not RESULT.is_file() else json.loads(RESULT.read_text("utf-8"))["commands"]
    result = {
        "commands": list(dict.fromkeys([*earlier, command])),
        "judged on": "validation; of the sets with the fewest texts, on what 50 of its texts leave",
        "rows": stored(given.runs),
        "versions": versions(PACKAGES),
    }
    tell(table(result["rows"]))
    write_result(RESULT, result)
    return 0


def rows(data: Dataset, count: int) -> Dataset:
    """Return a data set with some of its training rows, drawn by a seed."""
    order = np.random.default_rng(0).permutation(len(data.train))[:count]
    return replace(data, splits=data.splits | {"train": data.train.take(np.sort(order))})


def judged(name: str, data: Dataset) -> Dataset:
    """Return a data set without its test split, and with a part of a large validation split.

    Where texts are few, a few of this part are the validation split, and the others are to be predicted as a test split
    is: 1,500 texts to choose by are not what the owner of 100 has.
    """
    split = data.validation
    order = np.random.default_rng(0).permutation(len(split))[:_MOST_VALIDATION]
    chosen, others = np.split(order, [_FEW_TO_CHOOSE_BY if name in FEW else len(order)])
    splits = {"train": data.train, "validation": split.take(np.sort(chosen))}
    return replace(data, splits=splits | ({"test": split.take(np.sort(others))} if len(others) else {}))


def measure(name: str, data: Dataset, runs: Path, common: Settings, *, only: str | None) -> None:
    """Train the teachers and students of one set, and store each result as soon as it is there.

    Args:
        name: of the set.
        data: its training and validation texts.
        runs: the folder of all runs and results.
        common: settings of every training.
        only: one of ONLY; None for everything.
    """
    kept = next((row["choose_by"] for row in stored(runs) if row["set"] == name and "choose_by" in row), "balanced")
    common = common | {"choose_by": kept}  # of all rows of a set, so that they can be compared
    if (name, "floors", "") not in finished(runs):
        store(runs, name, "floors", "", {"floors": train_floors(data).to_dict()})
    teacher = trained_teacher(name, data, runs, common, "default", {})
    made = numbers(teacher, data)
    if name == _FOLDED and only in (None, "folds"):
        distilled(name, data, teacher, runs, common, SIZES[0], "default", {"control": True})
        for folds, weight in _FOLDS:
            settings = {"teacher_folds": folds, "hard_weight": weight}
            tag = f"{folds} fold teachers, labels {weight}"
            distilled(name, data, teacher, runs, common, SIZES[0], tag, settings, place=f"{folds}-folds")
    if only == "folds":
        return
    if name in LARGER:
        for share in (2, 4) if only in (None, "rates") else ():
            settings = {"learning_rate": teacher.info["learning_rate"] / share}
            trained_teacher(name, data, runs, common, f"rate / {share}", settings)
        return
    few = name in FEW
    for tag, settings in (*around(made, only, few=few), *choice(kept, only)):
        trained_teacher(name, data, runs, common, tag, settings)
    other = "random" if data.task.several else "lda"
    if only is None:
        trained_teacher(name, data, runs, common, f"head {other}", {"head": other})
    for size in SIZES:
        distilled(name, data, teacher, runs, common, size, "default", {"control": True})
        first = next(row for row in stored(runs) if (row["set"], row["model"], row["tag"]) == (name, size, "default"))
        for tag, settings in (
            *around(first, only, few=few),
            *choice(kept, only),
            *(losses() if only in (None, "losses") else ()),
        ):
            distilled(name, data, teacher, runs, common, size, tag, settings)


def around(made: Settings, only: str | None, *, few: bool = False) -> Iterator[tuple[str, Settings]]:
    """Yield names and settings, one of which differs from the default's; of few texts also of a longer training."""
    if only in (None, "rates"):
        yield "half the rate", {"learning_rate": made["learning_rate"] / 2}
        yield "twice the rate", {"learning_rate": made["learning_rate"] * 2}
    if only in (None, "lengths", "half"):
        yield "half the epochs", {"epochs": made["epochs"] / 2}
    if only not in (None, "lengths"):
        return
    yield "twice the epochs", {"epochs": made["epochs"] * 2}
    if few:
        yield "four times the epochs", {"epochs": made["epochs"] * 4}
    yield "half the batch", {"epochs": made["epochs"], "batch_size": 16}
    yield "twice the batch", {"epochs": made["epochs"], "batch_size": 64}


def choice(kept: str, only: str | None) -> Iterator[tuple[str, Settings]]:
    """Yield the other choice of the weights that are kept, as `around`."""
    if only in (None, "choice"):
        other = "metric" if kept == "balanced" else "balanced"
        yield _KEPT_BY[other], {"choose_by": other}


def losses() -> Iterator[tuple[str, Settings]]:
    """Yield what changes the loss of a student."""
    yield "temperature 1", {"temperature": 1.0}
    yield "temperature 4", {"temperature": 4.0}
    yield "no labels", {"hard_weight": 0.0}
    yield "labels .3", {"hard_weight": 0.3}
    yield "mean squared error", {"logits_loss": "mse"}


def trained_teacher(name: str, data: Dataset, runs: Path, common: Settings, tag: str, settings: Settings) -> Run:
    """Return a finished teacher; of one that is not the default only its numbers are kept."""
    out = runs / name / f"teacher-{tag.replace(' ', '-').replace('/', 'by')}"
    if (name, "teacher", tag) in finished(runs) and tag != "default":
        return read_run(runs / name / "teacher-default")
    run = finetune("minilm", data, out=out, progress=tell, **(common | settings))
    if (name, "teacher", tag) not in finished(runs):
        store(runs, name, "teacher", tag, numbers(run, data))
    if tag != "default":
        shutil.rmtree(out)
    return run


def distilled(
    name: str,
    data: Dataset,
    teacher: Run,
    runs: Path,
    common: Settings,
    size: str,
    tag: str,
    settings: Settings,
    *,
    place: str | None = None,
) -> None:
    """Distil one student, with its control where the settings say so, store their numbers and remove them.

    Fold teachers stay in ``place`` for the next student of the same.
    """
    if (name, size, tag) in finished(runs):
        return
    out = runs / name / (place or f"{size}-{tag.replace(' ', '-')}")
    made = distill(teacher, data, out=out, until="student", size=size, progress=tell, **(common | settings))
    row = numbers(made.students[0], data)
    if made.control is not None and made.seeds is not None:
        row["control"] = numbers(made.control, data)
        row["minus control"] = made.seeds.to_dict()["differences"][0]
    teacher_of = {"teacher": teacher.info["weights_sha256"][:12]}
    store(runs, name, size, tag, row | teacher_of | {"unbeaten": list(made.unbeaten)})
    shutil.rmtree(out if place is None else made.students[0].path)


def numbers(run: Run, data: Dataset) -> Settings:
    """Return what is stored of a run: its metrics on the texts that judge, and how it was trained."""
    texts = run.info.get("training_texts", len(data.train))
    kept = ("learning_rate", "steps", "best_step", "training_seconds", "temperature")
    recipe = read_recipe(run.path / "recipe.toml")
    stage = recipe.teacher if run.kind == "teacher" else recipe.student
    return {
        "metrics": run.metrics[_judge(run.metrics)],
        **{key: run.info.get(key) for key in kept},
        "texts": texts,
        "choose_by": stage.choose_by,
        "epochs": stage.epochs,
    }


def _judge(metrics: Settings) -> str:
    """Return the name of the split that judges: the others of validation where a few of it choose."""
    return "test" if "test" in metrics else "validation"


def table(rows: list[Settings]) -> str:
    """Return validation scores in percent, main metric / macro F1: of each model at each rate, then at other settings.

    Beside them are the control of the default student, and the best floor. "Kept by" says which weights the rows of a
    set keep: those of the best mean of both metrics, or of the first alone, the default before.
    """
    tags = [tag for tag in dict.fromkeys(row["tag"] for row in rows) if tag and tag not in dict(_RATES)]
    lengths = [tag for tag in _LENGTHS if tag in tags]
    parts = [_table(rows, _RATES, ends=True)]
    for shown in (lengths, [tag for tag in tags if tag not in lengths]):
        if shown:
            parts.append(_table(rows, [("default", "default"), *((tag, tag) for tag in shown)], ends=False))
    return "\n".join(parts)


def _table(rows: list[Settings], columns: Sequence[tuple[str, str]], *, ends: bool) -> str:
    """Return a table with a row for each model of each set that has more than its default, or a control to show.

    Args:
        rows: what was measured.
        columns: pairs of a tag and its heading; of equal headings that one which was measured is shown.
        ends: with the control, the default's points of the main metric over it, and the best floor.
    """
    found = {(row["set"], row["model"], row["tag"]): row for row in rows}
    headings = list(dict.fromkeys(heading for _, heading in columns))
    beside = ("control", "default - control", "best floor") if ends else ()
    lines = [["set", "texts", "model", "kept by", *headings, *beside]]
    for name, model in dict.fromkeys((row["set"], row["model"]) for row in rows if row["model"] != "floors"):
        measured = {heading: found[name, model, tag] for tag, heading in columns if (name, model, tag) in found}
        default = found.get((name, model, "default"))
        if default is None or (len(measured) < 2 and not (ends and "control" in default)):
            continue
        cells = [_scores(measured.get(heading)) for heading in headings]
        if ends:
            floors = found[name, "floors", ""]["floors"]["floors"]
            each = [{"metrics": row["metrics"][_judge(row["metrics"])]} for row in floors]
            best = max(each, key=lambda row: _main(row["metrics"]))
            cells += [_scores(default.get("control")), _difference(default.get("minus control")), _scores(best)]
        kept = "both" if default["choose_by"] == "balanced" else "the first"
        lines.append([name, f"{found[name, 'teacher', 'default']['texts']:,}", model, kept, *cells])
        taught = {row["teacher"] for row in measured.values() if "teacher" in row}
        if len(taught) > 1:
            tell(f"{name}, {model}: learned from {len(taught)} teachers, which were trained apart: compare with care")
    return markdown(lines, texts=4)


def _scores(row: Settings | None) -> str:
    """Return the main metric and macro F1 of what was measured, in percent."""
    if row is None:
        return "-"
    metrics = row["metrics"]
    return share(_main(metrics)) + (f" / {share(metrics['macro_f1'])}" if "macro_f1" in metrics else "")


def _difference(found: Settings | None) -> str:
    """Return a difference with its 95% interval over texts, in points."""
    return "-" if found is None else points(found["difference"], tuple(found["interval"]))


def _main(metrics: dict[str, float]) -> float:
    """Return the metric by which models of a set are judged."""
    return metrics["micro_f1" if "micro_f1" in metrics else "accuracy"]


def adopt(runs: Path) -> None:
    """Add the rows of the committed result to the finished ones."""
    if not RESULT.is_file():
        return
    done = finished(runs)
    for row in json.loads(RESULT.read_text("utf-8"))["rows"]:
        if (row["set"], row["model"], row["tag"]) not in done:
            append(runs, row)


def stored(runs: Path) -> list[Settings]:
    """Return the finished rows."""
    path = runs / "defaults.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def finished(runs: Path) -> set[tuple[str, str, str]]:
    """Return set, model and tag of every finished row."""
    return {(row["set"], row["model"], row["tag"]) for row in stored(runs)}


def store(runs: Path, name: str, model: str, tag: str, row: Settings) -> None:
    """Append what was measured now."""
    place = {"commit": commit(), "processor": machine()["processor"]}
    append(runs, {"set": name, "model": model, "tag": tag, **row, **place})


def append(runs: Path, row: Settings) -> None:
    """Append a row to the finished ones."""
    with open(runs / "defaults.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())
