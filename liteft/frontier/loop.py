"""The loop of a search: shapes from the cheapest up, each trained, exported and measured unless that is hopeless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from liteft.artifact import MANIFEST, Artifact
from liteft.data import Dataset
from liteft.data.pool import unlabeled_once
from liteft.distillation.initial import create_student
from liteft.distillation.student import distill_one
from liteft.distillation.teachers import Teacher
from liteft.errors import ConfigError, ModelError, VerificationError
from liteft.finetuning.context import RunContext
from liteft.frontier.ahead import Ahead
from liteft.frontier.budget import Budget
from liteft.frontier.candidates import Variant
from liteft.frontier.plan import Planned, plan_shapes
from liteft.frontier.result import Candidate
from liteft.frontier.sizes import folder_bytes
from liteft.frontier.state import SearchState
from liteft.frontier.timing import latency_ms, untrained_latency_ms
from liteft.frontier.training import GiveUp, Pruned, shape_recipe, tuning_recipe
from liteft.pipeline import export_student
from liteft.ragged import Rows
from liteft.recipes import Recipe
from liteft.run import RUN_FILE, Run
from liteft.runtime import load
from liteft.runtime.splits import split_logits
from liteft.text_tables import metric_words
from liteft.untrusted import TRUST

__all__ = ["Search"]

# An untrained shape is left out above this many times max_ms. Timings are noisy, and finished artifacts are re-timed.
_CLEARLY = 1.25


@dataclass
class Search:
    """A search in progress.

    Attributes:
        teacher: the teacher of all students.
        quality: the teacher's main metric on the validation split, a share.
        dataset: the data, with the teacher's labels.
        recipe: every setting.
        context: the search's folder, progress and callbacks.
        state: results of earlier calls in the same folder.
        machine: description and threads of this machine; timings of another machine are not reused.
        show_check: report the findings of the data check.
        trust: as in ``liteft.load``, for every artifact.
        engine: "local", or "ray": the shapes of a group are trained first, each in a task; see ahead.py.
        candidates: the candidates so far.
        logits: logits on the validation split of measured candidates, by name, float32 (texts, labels).
    """

    teacher: Teacher
    quality: float
    dataset: Dataset
    recipe: Recipe
    context: RunContext
    state: SearchState
    machine: dict[str, Any]
    show_check: bool = True
    trust: bool = False
    engine: str = "local"
    candidates: list[Candidate] = field(default_factory=list)
    logits: dict[str, Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.budget = Budget.of(self.recipe.search)
        self.metric = self.dataset.task.primary_metric
        self.unlabeled = unlabeled_once(self.dataset, self.recipe, self.context.tell)
        self.failed: dict[str, Exception] = {}  # shape -> what its task has raised

    def run(self) -> None:
        """Evaluate all shapes; narrower ones only if no shape of the teacher's width fits the budget's MB and ms."""
        teacher = self.teacher.loaded
        for group in plan_shapes(self.recipe, teacher.config, teacher.settings, teacher.tokenizer):
            possible = [planned for planned in group if planned.variants]
            for planned in group:
                if not planned.variants:
                    self._leave_out(planned, planned.reason, size_bytes=planned.least)
            possible = self._fast_enough(possible)
            if self.engine == "ray":
                self._train_ahead(possible)
            for number, planned in enumerate(possible):
                best = next((each for each in self.candidates if each.within and (each.drop or 0.0) <= 0), None)
                if best is None:
                    self._evaluate(planned)
                    continue
                for rest in possible[number:]:
                    reason = f"{best.name} is as good as the teacher already, and smaller"
                    self.candidates.append(Candidate(rest.shape.name, "", "unneeded", reason))
                break
            if possible:
                return

    def measured_logits(self, candidate: Candidate) -> Rows:
        """Return a measured candidate's logits on the validation split, float32 (texts, labels)."""
        if candidate.name not in self.logits:
            assert candidate.path is not None
            self.logits[candidate.name] = self._run_on(candidate.path, "validation")
        return self.logits[candidate.name]

    def tested(self, winner: Candidate) -> Rows:
        """Return the winner's logits on the test split, float32 (texts, labels)."""
        assert winner.path is not None
        return self._run_on(winner.path, "test")

    def _fast_enough(self, group: list[Planned]) -> list[Planned]:
        """Return the shapes of a group that are not clearly too slow; each is timed with its untrained weights."""
        most = self.budget.max_ms
        if most is None:
            return group
        possible: list[Planned] = []
        slow: dict[int, str] = {}  # width -> the shallowest shape that is too slow and its latency, in words
        for planned in group:
            shape = planned.shape
            if shape.width in slow:
                self._leave_out(planned, f"{slow[shape.width]}, with fewer layers, is too slow already")
                continue
            latency = self._probed(planned)
            if latency > _CLEARLY * most:
                slow[shape.width] = f"{shape.name} takes {latency:.2g} ms per text"
                self._leave_out(planned, f"{latency:.2g} ms per text before its training", latency_ms=latency)
            else:
                possible.append(planned)
        return possible

    def _probed(self, planned: Planned) -> float:
        """Return the latency of a shape before its training, in milliseconds per text."""
        form = planned.variants[0].form
        key = {**self.machine, "form": form.precision, "teacher": self.teacher.weights_sha256}
        name = planned.shape.name
        known: float | None = self.state.get("probed", name, key)
        if known is None:
            self.context.tell(f"{name}: timing it before its training")
            student = create_student(self.teacher.loaded, shape_recipe(self.recipe, planned.shape).student)
            split, threads = self.dataset.validation, self.machine["threads"]
            known = untrained_latency_ms(student, form, split, threads=threads, trust=self.trust)
            self.state.put("probed", name, key, known)
        return known

    def _evaluate(self, planned: Planned) -> None:
        """Train a shape, export it in its variants, and measure each.

        If the student is good enough and none of its exports is, float16 is tried, then training in a variant's form.
        """
        student = self._trained(planned)
        if student is None:
            return
        made = [self._made(planned, variant, student) for variant in planned.variants]
        limit, reached = self.budget.max_drop, student.metrics["validation"][self.metric]
        if limit is None or 100 * (self.quality - reached) > limit or any(each.within for each in made):
            return
        losing = [
            (variant, each.quality or 0.0)
            for variant, each in zip(planned.variants, made, strict=True)
            if variant.form.precision == "int8" and (each.status == "refused" or set(each.excess) == {"max_drop"})
        ]
        if losing and not self._in_halves(planned, student):
            losing.sort(key=lambda pair: -pair[1])
            self._tune(planned, student, [variant for variant, _ in losing])

    def _in_halves(self, planned: Planned, student: Run) -> bool:
        """Export in float16 if that fits the budget's megabytes; return whether the result is within the budget."""
        variant, most = Variant(self.recipe.export.form.in_precision("fp16")), self.budget.max_mb
        if most is not None and planned.sizes.predict(variant) > most * 1e6:
            return False
        return self._made(planned, variant, student).within

    def _tune(self, planned: Planned, student: Run, losing: Sequence[Variant]) -> None:
        """Train a few more epochs in each variant's form, in the given order, until an export is within the budget."""
        for variant in losing if self.recipe.search.quantized_epochs else ():
            name = f"{planned.shape.name}/{variant.name}"
            self.context.tell(f"{name}: the student is good enough but its export is not: training it in this form")
            out = self.context.out / planned.shape.name / f"student-{variant.name}"
            tuned, recipe = replace(variant, tuned=True), tuning_recipe(self.recipe, student, variant)
            try:
                run = self._distilled(out, recipe)
            except (ConfigError, ModelError) as error:  # such as a model that cannot be trained with rounding
                self.candidates.append(Candidate(planned.shape.name, tuned.name, "refused", error.message))
                continue
            if self._made(planned, tuned, run).within:
                return

    def _trained(self, planned: Planned) -> Run | None:
        """Return the finished student, or None if its training was given up, now or in an earlier call."""
        name, recipe = planned.shape.name, shape_recipe(self.recipe, planned.shape)
        if name in self.failed:
            raise self.failed[name]
        out, key = self.context.out / name / "student", self._key(recipe)
        given_up = self._given_up(out, name, recipe)
        if given_up is None:
            self.context.tell(f"{name}: training")
            try:
                return self._distilled(out, recipe, self._watch(recipe))
            except Pruned as error:
                given_up = error.to_dict()
                self.state.put("given_up", name, key, given_up)
        reason = (
            f"given up at step {given_up['step']:,} of {given_up['steps']:,}: {metric_words(self.metric)} "
            f"{100 * given_up['best']:.1f}%, the teacher's {100 * self.quality:.1f}%"
        )
        self.context.tell(f"{name}: {reason}")
        self.candidates.append(Candidate(name, "", "hopeless", reason, student=given_up["best"]))
        return None

    def _train_ahead(self, group: Sequence[Planned]) -> None:
        """Train the shapes of a group that are neither finished nor given up, each in a Ray task.

        What a task has raised is raised when its shape's turn comes, as if it were trained then.
        """
        left: dict[str, Recipe] = {}
        for planned in group:
            name, recipe = planned.shape.name, shape_recipe(self.recipe, planned.shape)
            out = self.context.out / name / "student"
            if not (out / RUN_FILE).is_file() and self._given_up(out, name, recipe) is None:
                left[name] = recipe
        if not left:
            return
        threads = self.recipe.student.threads or torch.get_num_threads()
        ahead = Ahead(self.teacher, self.dataset, self.context, self.unlabeled(), threads, self.show_check)
        shapes = {name: (recipe, self._watch(recipe)) for name, recipe in left.items()}
        for name, found in ahead.trained(shapes).items():
            if isinstance(found, Exception):
                self.failed[name] = found
            elif found is not None:
                self.state.put("given_up", name, self._key(left[name]), found)
        self.show_check = False

    def _key(self, recipe: Recipe) -> dict[str, Any]:
        """Return what giving up a training depends on."""
        return {
            "student": recipe.student.model_dump(mode="json"),
            "data": self.dataset.fingerprint,
            "teacher": self.teacher.weights_sha256,
        }

    def _given_up(self, out: Path, name: str, recipe: Recipe) -> dict[str, Any] | None:
        """Return where an earlier training was given up, if it would be given up again; otherwise None."""
        bar = self._bar()
        given_up: dict[str, Any] | None = self.state.get("given_up", name, self._key(recipe))
        unfinished = (out / "recipe.toml").is_file() and not (out / RUN_FILE).is_file()
        return given_up if unfinished and given_up is not None and bar is not None and given_up["best"] < bar else None

    def _watch(self, recipe: Recipe) -> list[TrainerCallback]:
        """Return the callback that gives a training up, if it may be given up."""
        bar = self._bar()
        several = len(recipe.student.learning_rates or ()) > 1 or recipe.student.rate_search
        return [] if bar is None or several else [GiveUp(bar, self.metric)]

    def _bar(self) -> float | None:
        """Return what the metric must have reached after half a training, a share; None without a limit."""
        limit = self.budget.max_drop
        return None if limit is None else self.quality - (limit + self.recipe.search.margin) / 100

    def _distilled(self, out: Path, recipe: Recipe, watch: Sequence[TrainerCallback] = ()) -> Run:
        context = replace(self.context, out=out, callbacks=(*self.context.callbacks, *watch))
        run = distill_one(
            self.teacher, self.dataset, recipe, context, show_check=self.show_check, unlabeled=self.unlabeled
        )
        self.show_check = False
        return run

    def _made(self, planned: Planned, variant: Variant, student: Run) -> Candidate:
        """Export a student in a variant and measure it; return the candidate, refused if its export was."""
        recipe = variant.laid_over(self.recipe, trimmed=variant.tuned and not student.task.extractive)
        base = Candidate(
            planned.shape.name,
            variant.name,
            "refused",
            size_bytes=planned.sizes.predict(variant),
            student=student.metrics["validation"][self.metric],
        )
        folder = self.context.out / planned.shape.name / variant.name
        key = {"weights": student.info["weights_sha256"], "export": recipe.export.model_dump(mode="json")}
        refused = None if (folder / MANIFEST).is_file() else self.state.get("refused", base.name, key)
        if refused is None:
            try:
                artifact = export_student(
                    student,
                    folder,
                    recipe,
                    self.dataset,
                    self.context.progress,
                    overwrite=True,
                    trust=self.trust,
                    tested=False,
                    unlabeled=self.unlabeled,
                )
            except VerificationError as error:
                if TRUST in error.fix:  # the same for every variant, and training does not change it
                    raise
                refused = "; ".join([error.message, *(f"{name} {seen}" for name, seen in error.accepted.items())][:3])
                self.state.put("refused", base.name, key, refused)
        found = replace(base, reason=refused) if refused is not None else self._measured(base, artifact)
        self.candidates.append(found)
        self.context.tell(f"{found.name}: {_in_words(found, self.metric)}")
        return found

    def _measured(self, base: Candidate, artifact: Artifact) -> Candidate:
        """Return a candidate with the measurements of its artifact."""
        graph = artifact.manifest.files[artifact.manifest.graph_file].sha256
        key = {**self.machine, "graph": graph, "data": self.dataset.fingerprint}
        known = self.state.get("measured", base.name, key)
        if known is None:
            split, task = self.dataset.validation, self.dataset.task
            assert split.labels is not None
            self.logits[base.name] = logits = self._run_on(artifact.path, "validation")
            quality = task.score(logits, split.labels, unseen_label=split.unseen_label)[self.metric]
            interval = task.intervals(logits, split.labels, unseen_label=split.unseen_label)[self.metric]
            latency = latency_ms(artifact.path, split, threads=self.machine["threads"], trust=self.trust)
            known = {"quality": quality, "interval": list(interval), "latency_ms": latency}
            self.state.put("measured", base.name, key, known)
        size, drop = folder_bytes(artifact.path), 100 * (self.quality - known["quality"])
        return replace(
            base,
            status="measured",
            path=artifact.path,
            size_bytes=size,
            latency_ms=known["latency_ms"],
            quality=known["quality"],
            drop=drop,
            interval=tuple(known["interval"]),
            excess=self.budget.excess(mb=size / 1e6, ms=known["latency_ms"], drop=drop),
        )

    def _run_on(self, artifact: Path, split: str) -> Rows:
        with load(artifact, device="cpu", threads=self.machine["threads"], trust=self.trust) as classifier:
            return split_logits(classifier, self.dataset.split(split))

    def _leave_out(self, planned: Planned, reason: str, **known: Any) -> None:
        self.context.tell(f"{planned.shape.name}: left out: {reason}")
        self.candidates.append(Candidate(planned.shape.name, "", "hopeless", reason, **known))


def _in_words(found: Candidate, metric: str) -> str:
    """Return what a candidate measured, or why it was not measured."""
    if found.status != "measured":
        return str(found.reason)
    costs = found.costs
    return (
        f"{costs['max_mb']:.2f} MB, {costs['max_ms']:.2g} ms, {metric_words(metric)} "
        f"{100 * (found.quality or 0.0):.1f}%, {'within the budget' if found.within else 'beyond the budget'}"
    )
