"""The trainings behind one `fit`: parameters become a recipe, rows a data set, and what comes last an artifact."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Self

from sklearn.utils import check_random_state

from liteft import files
from liteft.config import make_recipe, resolve_recipe
from liteft.errors import ConfigError, leave_out
from liteft.integrations.sklearn_rows import Gold, columns_of
from liteft.recipes import Recipe

__all__ = ["Training"]

_MOST_SEED = 2**31 - 1
_TABLES = ("data", "teacher", "student", "export")


@dataclass(frozen=True)
class Training:
    """What one fit trains.

    Attributes:
        teacher: a base or a teacher, as it was given.
        recipe: all settings.
        table: the labelled rows, by column.
        unlabeled: rows without labels, by column; None without any, or if the recipe names a file of them.
        progress: as in ``liteft.distill``.
    """

    teacher: Any
    recipe: Recipe
    table: Mapping[str, list[Any]]
    unlabeled: Mapping[str, list[str]] | None
    progress: Any

    @classmethod
    def of(cls, parameters: Mapping[str, Any], texts: list[str], pairs: list[str] | None, gold: Gold) -> Self:
        """Return the training that an estimator's parameters ask for.

        Raises:
            ConfigError: a setting that does not exist or does not fit.
        """
        recipe = _recipe(parameters, gold, paired=pairs is not None)
        given, unlabeled = parameters["unlabeled"], None
        if given is not None and parameters["size"] is None:
            raise ConfigError(
                "unlabeled texts are learned by a student, and no size was given for one.",
                fix=['size="3"', leave_out("unlabeled")],
            )
        if isinstance(given, str | os.PathLike):
            recipe = resolve_recipe(recipe, "student", {"unlabeled": os.fspath(given)})
        elif given is not None:
            unlabeled = _columns(*columns_of(given))
        table = {**_columns(texts, pairs), "label": gold.rows}
        return cls(parameters["teacher"], recipe, table, unlabeled, parameters["progress"])

    @property
    def name(self) -> str:
        """A name that differs where teacher, settings or rows do."""
        teacher = getattr(self.teacher, "path", self.teacher)
        parts = [str(teacher), self.recipe.model_dump(mode="json"), dict(self.table), self.unlabeled]
        return f"fit-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]}"

    def run(self, folder: Path) -> tuple[Path, dict[str, Any]]:
        """Train what is not finished in a folder; return the artifact's folder, and the metrics on validation rows."""
        import liteft

        recipe = self.recipe
        if self.unlabeled is not None:
            folder.mkdir(parents=True, exist_ok=True)
            pool = folder / "unlabeled.jsonl"
            rows = [dict(zip(self.unlabeled, row, strict=True)) for row in zip(*self.unlabeled.values(), strict=True)]
            files.write_text(pool, "".join(json.dumps(row) + "\n" for row in rows))
            recipe = resolve_recipe(recipe, "student", {"unlabeled": str(pool)})
        data = liteft.load_dataset(dict(self.table), **recipe.data.model_dump(exclude={"source"}))
        if recipe.student.size is not None or recipe.student.student is not None:
            made = liteft.distill(self.teacher, data, out=folder, recipe=recipe, progress=self.progress)
            assert made.artifact is not None and made.student is not None  # until is the artifact
            return made.artifact.path, dict(made.student.metrics["validation"])
        run = liteft.finetune(self.teacher, data, out=folder / "teacher", recipe=recipe, progress=self.progress)
        form, drop = recipe.export.form, recipe.export.tolerance / 100
        artifact = liteft.export(
            run,
            folder / "artifact",
            form=form,
            calibrate=data.train,
            vocabulary=recipe.export.vocabulary,
            fill_vocabulary=recipe.export.fill_vocabulary,
            vocabulary_min_count=recipe.export.vocabulary_min_count,
            texts=None if recipe.export.vocabulary is None else data.train,
            verify=data.validation,
            limits=liteft.Limits(accuracy_drop=drop),
            threads=recipe.teacher.threads,
            progress=self.progress,
        )
        return artifact.path, dict(run.metrics["validation"])


def _recipe(parameters: Mapping[str, Any], gold: Gold, *, paired: bool) -> Recipe:
    state = parameters["random_state"]
    seed = int(state) if isinstance(state, Integral) else int(check_random_state(state).randint(_MOST_SEED))
    common = {"batch_size": parameters["batch_size"], "threads": parameters["threads"], "seed": seed}
    tables: dict[str, dict[str, Any]] = {
        "data": {
            "text": "text",
            "pair": "pair" if paired else "",
            "label": "label",
            "label_names": list(gold.names) if gold.several else None,
            "task": gold.task,
            "validation_fraction": parameters["validation_fraction"],
            "test_fraction": 0.0,
            "seed": seed,
        },
        "teacher": {**common, "max_tokens": parameters["max_tokens"], **_of_step(parameters, "teacher")},
        "student": {**common, **_of_step(parameters, "student")},
        "export": {"precision": parameters["precision"]},
    }
    if parameters["size"] is not None:
        tables["student"]["size"] = str(parameters["size"])
    for key, value in (parameters["settings"] or {}).items():
        table, _, name = str(key).partition(".")
        if table not in _TABLES or not name:
            raise ConfigError(
                f"settings has the key {key!r}.",
                accepted={"keys": ", ".join(f"{each}.KEY" for each in _TABLES) + ", with the keys of a recipe"},
                fix='settings={"student.hard_weight": 0.2}',
            )
        tables[table][name] = value
    exported = tables.pop("export")
    return resolve_recipe(make_recipe(tables, origin="the estimator's parameters"), "export", exported)


def _of_step(parameters: Mapping[str, Any], step: str) -> dict[str, Any]:
    return {name: parameters[f"{step}_{name}"] for name in ("epochs", "learning_rate")}


def _columns(texts: list[str], pairs: list[str] | None) -> dict[str, list[str]]:
    return {"text": texts} if pairs is None else {"text": texts, "pair": pairs}
