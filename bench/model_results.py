"""Collects the results of a model folder's finished runs into models/NAME/results.json and card.md.

Nothing is trained here. The runs are those of the folder's recipe:

    liteft distill --recipe models/trec/recipe.toml --data ../shared/data/trec --out runs/trec
    python bench/model_results.py trec --runs runs

The runs' own numbers are taken from their run.json. Two comparisons are measured again: teacher, student, its arms and
artifact side by side on the test split, with size and speed; and the artifact against the model that it was exported
from, which shows what the export costs on texts that its gate did not use.

Runs of another recipe or of other data, and an artifact of another student, are refused, since the numbers must be
those of the folder's recipe. A run that differs only in `threads` is accepted, and the recorded command shows it.
Results contain no path of this machine: runs are written as RUNS/NAME and data as DATA/NAME.

Cards and the table in models/README.md are written from the results.json files alone (see model_card.py):

    python bench/model_results.py --cards

Floors (bench/floors.py) are in results.json since LiteFT has them. Older files get those of the same data:

    python bench/model_results.py --floors bench/results/floors.json
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result
from model_card import card_text, with_table
from model_runs import check_recipes, find_runs

from liteft import Dataset, files, load_dataset
from liteft.artifact import Artifact
from liteft.config import read_recipe
from liteft.errors import ConfigError, DataError, LiteftError
from liteft.recipes import Recipe
from liteft.report import Comparison, compare, seeds_table
from liteft.run import Run
from liteft.text_tables import metric_words

PACKAGES = ("liteft", "torch", "transformers", "tokenizers", "onnxruntime", "numpy")
_KEPT = ("base", "size", "seed", "family", "pooling", "max_tokens", "precision", "parameters", "weights_sha256")
_KEPT += ("training_texts", "steps", "best_step", "best_metric", "learning_rate", "search")
_KEPT += ("seconds", "training_seconds")
# a slash at the start of a word, with another one after it: /home/name, but not and/or
_ABSOLUTE = re.compile(r"(?:^|[\s\"'=(,:])(?:/[\w.~+-]+/|~/|[A-Za-z]:[\\/])")


def main() -> int:
    """Write the results of one folder, or all cards, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", nargs="?", help="a folder of models/")
    parser.add_argument("--runs", type=Path, help="folder of the runs NAME/teacher, NAME/student, ...")
    parser.add_argument("--data", type=Path, help="the data set; default: the one in the teacher's recipe")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each model")
    parser.add_argument("--no-speed", action="store_true", help="time nothing")
    parser.add_argument("--threads", type=int, help="threads of each model while it is timed")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the model folders")
    parser.add_argument("--cards", action="store_true", help="write every card from its results.json; measure nothing")
    parser.add_argument(
        "--floors", type=Path, help="put these floors, of bench/floors.py, into results.json; then --cards"
    )
    arguments = parser.parse_args()
    try:
        if arguments.floors is not None:
            add_floors(arguments.models, arguments.floors)
        if arguments.name is not None:
            if arguments.runs is None:
                parser.error("--runs FOLDER is needed")
            folder = arguments.models / arguments.name
            result = collect(
                folder,
                arguments.runs / arguments.name,
                data=arguments.data,
                rounds=0 if arguments.no_speed else arguments.rounds,
                threads=arguments.threads,
                progress=tell,
            )
            write_result(folder / "results.json", result)
            write_cards(arguments.models)
        elif arguments.cards or arguments.floors is not None:
            write_cards(arguments.models)
        else:
            parser.error("name a folder of models/, or give --cards")
    except LiteftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def collect(
    folder: Path,
    runs: Path,
    *,
    data: str | Path | None = None,
    rounds: int = 0,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Return the content of results.json.

    Args:
        folder: the recipe's folder, models/NAME.
        runs: the folder of that recipe's runs, RUNS/NAME.
        data: the data set; None for the one that the teacher's recipe names.
        rounds: timings of each model; 0 measures no speed.
        threads: of each model while it is timed; None for as many as there are physical cores.
        progress: called with a line of text now and then.

    Raises:
        RunError: a run is missing, unfinished, or of another recipe.
        DataError: the data is not what the runs were trained on.
        ArtifactError: there is no artifact, or it is of another model.
        ConfigError: the recipe or its description is missing, or the results contain a path of this machine.
    """
    before = machine()
    recipe = read_recipe(folder / "recipe.toml")
    found = find_runs(runs, recipe)
    changed = check_recipes(found, recipe)
    source, dataset = _load(found.teacher, data)
    compared = [found.teacher, *found.firsts, found.artifact]
    common: dict[str, Any] = {"on": dataset, "progress": progress}
    side_by_side = compare(*compared, names=_names(compared), rounds=rounds, threads=threads, **common)
    exported = compare(found.firsts[0], found.artifact, names=["student", "artifact"], rounds=0, **common)
    shown = source if not Path(source).exists() else f"DATA/{Path(source).resolve().name}"
    words = ["--runs", "RUNS", *([] if data is None else ["--data", shown])]
    words += [] if threads is None else ["--threads", str(threads)]
    words += ["--rounds", str(rounds)] if rounds else ["--no-speed"]
    result = {
        "name": folder.name,
        "about": _toml(folder / "about.toml"),
        "command": _command(folder.name, shown, changed),
        "results_command": " ".join(["python bench/model_results.py", folder.name, *words]),
        "recipe": _toml(folder / "recipe.toml"),
        "settings": _settings(recipe, found.artifact),
        "data": _data(found.teacher, shown),
        "runs": {run.path.name: _run(run) for run in found.all},
        "seeds": seeds_table(found.all).to_dict(),
        "artifact": _artifact(found.artifact, exported),
        "comparison": _comparison(side_by_side, folder.name, found.all),
        "floors": [_floor(row) for row in side_by_side.to_dict()["floors"]],
        "machine": before,
        "versions": versions(PACKAGES),
        "commit": commit(),
    }
    paths = absolute_paths(result)
    if paths:
        raise ConfigError(f"the results contain paths of this machine: {', '.join(paths[:3])}.")
    return result


def add_floors(models: Path, measured: Path) -> None:
    """Put floors that bench/floors.py measured into results.json files of the same data that have none.

    Raises:
        DataError: the floors of a folder's name are of other data.
    """
    for name, found in files.read_json(measured)["sets"].items():
        path = models / name / "results.json"
        if not path.is_file():
            continue
        result = files.read_json(path)
        if result["data"]["fingerprint"] != found["fingerprint"]:
            raise DataError(f"the floors of {name} are of other data than {path}.")
        split = result["comparison"]["split"]
        result["floors"] = [
            _floor({"name": row["name"], "metrics": row["metrics"][split], "intervals": row["intervals"][split]})
            for row in found["floors"]
        ]
        files.write_json(path, result)


def _floor(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("name", "metrics", "intervals")}


def _settings(recipe: Recipe, artifact: Artifact) -> dict[str, Any]:
    """Return a recipe's settings, with the side of truncation filled in if the recipe leaves it to the base."""
    settings = recipe.model_dump(mode="json", exclude_none=True)
    settings["teacher"]["truncation_side"] = artifact.manifest.truncation_side
    return settings


def absolute_paths(content: Any) -> list[str]:
    """Return every string in plain data that contains an absolute path, of any operating system."""
    return [text for text in _texts(content) if _ABSOLUTE.search(text)]


def write_cards(models: Path) -> None:
    """Write card.md beside every results.json below ``models``, and the table of its README.md."""
    results = {path.parent: files.read_json(path) for path in sorted(models.glob("*/results.json"))}
    for folder, result in results.items():
        files.write_text(folder / "card.md", card_text(result))
    index = models / "README.md"
    if index.is_file():
        files.write_text(index, with_table(index.read_text(encoding="utf-8"), list(results.values())))


def _load(teacher: Run, data: str | Path | None) -> tuple[str, Dataset]:
    """Load the data set, and return the name of its source and the data set, which must be that of the runs."""
    how = read_recipe(teacher.path / "recipe.toml").data.model_dump()
    source = how.pop("source")
    source = source if data is None else str(data)
    if source is None:
        raise ConfigError(f"{teacher.path} does not say what it was trained on.", fix="--data FOLDER")
    dataset = load_dataset(source, **how)
    trained_on = teacher.info["data"]
    if dataset.fingerprint != trained_on["fingerprint"]:
        raise DataError(
            f"{source} is not what {teacher.path} was trained on.",
            accepted={"rows then": trained_on["rows"], "rows now": {n: len(s) for n, s in dataset.splits.items()}},
        )
    return source, dataset


def _names(compared: Sequence[Run | Artifact]) -> list[str]:
    return [model.path.name for model in compared]


def _command(name: str, source: str, changed: Sequence[str]) -> str:
    words = [f"liteft distill --recipe models/{name}/recipe.toml --data {source} --out RUNS/{name}"]
    return " ".join([*words, *(f"--set {word}" for word in changed)])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None


def _data(teacher: Run, source: str) -> dict[str, Any]:
    """Return what the data check said before the training; places of single rows contain paths and are left out."""
    check = files.read_json(teacher.path / "data_check.json")
    unseen_label = [
        one["name"] for one in check["splits"] if one["unseen"] and sum(one["unseen"].values()) == one["rows"]
    ]
    return {
        "source": source,
        "name": check["name"],
        "fingerprint": check["fingerprint"],
        "task": check["task"],
        "labels": check["labels"],
        "paired": teacher.info["paired"],
        "rows": {one["name"]: one["rows"] for one in check["splits"]},
        "lengths": {
            one["name"]: {key: one["lengths"][key] for key in ("unit", "median", "p95", "max", "truncated")}
            for one in check["splits"]
        },
        "unknown_labels_only": unseen_label,
        "warnings": check["warnings"],
        "notes": check["notes"],
    }


def _run(run: Run) -> dict[str, Any]:
    """Return what run.json says, without paths and what all runs share; sizes in MB of 10^6 bytes."""
    kept = {name: run.info[name] for name in _KEPT if name in run.info}
    sizes = {"file_mb": run.info["size_bytes"] / 1e6}
    return {"kind": run.kind, **kept, **sizes, "metrics": run.metrics, "versions": run.info["versions"]}


def _artifact(artifact: Artifact, exported: Comparison) -> dict[str, Any]:
    """Return what the artifact is, what its gate measured, and how it compares with its model on the test split."""
    manifest, content = artifact.manifest, exported.to_dict()
    model, written = content["models"]
    return {
        "precision": manifest.form.precision,
        "int8_scheme": manifest.form.scheme,
        "graph": manifest.graph,
        "threshold": manifest.training.get("threshold"),
        "model_mb": artifact.model_path.stat().st_size / 1e6,
        "folder_mb": artifact.size_bytes / 1e6,
        "verification": manifest.verification,
        "against_model": {
            "split": content["split"],
            "texts": content["texts"],
            "agreement": written["agreement_with_first"],
            "paired": written["against_first"],
            "micro_f1_difference": written["micro_f1_difference"],
            "model": {"metrics": model["metrics"], "intervals": model["intervals"]},
            "artifact": {"metrics": written["metrics"], "intervals": written["intervals"]},
        },
    }


def _comparison(comparison: Comparison, name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a comparison without paths of the machine, with a note if a run's own number was not reproduced.

    On another processor a text or two may get another label. A larger difference means that run.json is of another
    model.
    """
    content = comparison.to_dict()
    metric = comparison.task.primary_metric
    own = {run.path.name: run.metrics[comparison.split][metric] for run in runs}
    for model in content["models"]:
        model["path"] = f"RUNS/{name}/{model['name']}"
        before, now = own.get(model["name"]), model["metrics"][metric]
        if before is not None and abs(now - before) > 1e-6:
            scores = f"{metric_words(metric)} {100 * before:.2f}% in its run, {100 * now:.2f}% when scored here"
            content["notes"].append(f"{model['name']}: {scores}")
    return content


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _texts(value)


if __name__ == "__main__":
    sys.exit(main())
