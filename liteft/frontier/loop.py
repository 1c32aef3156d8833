"""The search itself: one shape after the other, the cheapest first, and of each what is worth its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from liteft.artifact import MANIFEST, Artifact
from liteft.config import Recipe
from liteft.data import Dataset
from liteft.distillation.initial import create_student
from liteft.distillation.student import distill_one
from liteft.distillation.teachers import Teacher
from liteft.errors import ConfigError, ModelError, VerificationError
from liteft.finetuning.context import RunContext
from liteft.frontier.budget import Budget
from liteft.frontier.candidates import Variant
from liteft.frontier.plan import Planned, plan_shapes
from liteft.frontier.result import Candidate
from liteft.frontier.sizes import folder_bytes
from liteft.frontier.state import SearchState
from liteft.frontier.timing import latency_ms, untrained_latency_ms
from liteft.frontier.training import GiveUp, Pruned, shape_recipe, tuning_recipe
from liteft.pipeline import export_student
from liteft.run import RUN_FILE, Run
from liteft.runtime import load
from liteft.untrusted import TRUST

__all__ = ["Search"]

_CLEARLY = 1.25  # times the milliseconds of a budget: a machine is never quiet, and a finished artifact is timed again


@dataclass
class Search:
    """A search under way.

    Attributes:
        teacher: what is distilled.
        quality: the teacher's, on validation, a share.
        dataset: with the teacher's labels.
        recipe: every setting.
        context: of the search: its folder, and who is told of it.
        state: what was found out before.
        machine: processor and threads: timings of others are not believed.
        show_check: tell what the data check found.
        trust: as in ``liteft.load``, of every artifact.
        candidates: what was looked at so far.
        logits: on validation, of what was measured, by name.
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
    candidates: list[Candidate] = field(default_factory=list)
    logits: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.budget = Budget.of(self.recipe.search)
        self.metric = self.dataset.task.primary_metric

    def run(self) -> None:
        """Look at every shape; narrower ones only where no shape before them can be within the budget."""
        loaded = self.teacher.loaded
        for group in plan_shapes(self.recipe, loaded.config, loaded.settings, loaded.tokenizer):
            possible = [planned for planned in group if planned.variants]
            for planned in group:
                if not planned.variants:
                    self._leave_out(planned, planned.reason, size_bytes=planned.least)
            possible = self._fast_enough(possible)
            for number, planned in enumerate(possible):
                best = next((each for each in self.candidates if each.within and (each.drop or 0.0) <= 0), None)
                if best is None:
                    self._look_at(planned)
                    continue
                for rest in possible[number:]:
                    reason = f"{best.name} is as good as the teacher already, and smaller"
                    self.candidates.append(Candidate(rest.shape.name, "", "unneeded", reason))
                break
            if possible:
                return

    def measured_logits(self, candidate: Candidate) -> np.ndarray:
        """Return the logits of a measured candidate on validation, float32 (texts, labels)."""
        if candidate.name not in self.logits:
            assert candidate.path is not None
            self.logits[candidate.name] = self._run_on(candidate.path, "validation")
        return self.logits[candidate.name]

    def tested(self, winner: Candidate) -> np.ndarray:
        """Return the winner's logits on the test split."""
        assert winner.path is not None
        return self._run_on(winner.path, "test")

    def _fast_enough(self, group: list[Planned]) -> list[Planned]:
        """Leave out the shapes that are clearly too slow, measured with the weights that they start from."""
        most = self.budget.max_ms
        if most is None:
            return group
        possible: list[Planned] = []
        slow: dict[int, str] = {}  # width -> the shallowest shape that is too slow, and how slow
        for planned in group:
            shape = planned.shape
            if shape.width in slow:
                self._leave_out(planned, f"{slow[shape.width]}, with fewer layers, is too slow already")
                continue
            latency = self._probed(planned)
            if latency > _CLEARLY * most:
                slow[shape.width] = f"{shape.name} takes {latency:.2g} ms a text"
                self._leave_out(planned, f"{latency:.2g} ms a text before its training", latency_ms=latency)
            else:
                possible.append(planned)
        return possible

    def _probed(self, planned: Planned) -> float:
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

    def _look_at(self, planned: Planned) -> None:
        """Train a shape, export it in its variants, and measure them."""
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
        """Where int8 loses too much and float16 fits, take that; say whether it is within the budget."""
        variant, most = Variant(self.recipe.export.form.in_precision("fp16")), self.budget.max_mb
        if most is not None and planned.sizes.predict(variant) > most * 1e6:
            return False
        return self._made(planned, variant, student).within

    def _tune(self, planned: Planned, student: Run, losing: Sequence[Variant]) -> None:
        """The last resort: a few epochs in the form itself, the better form first, until one is within the budget."""
        for variant in losing if self.recipe.search.quantized_epochs else ():
            name = f"{planned.shape.name}/{variant.name}"
            self.context.tell(f"{name}: the student is good enough, and its export is not: training it in this form")
            out = self.context.out / planned.shape.name / f"student-{variant.name}"
            tuned, recipe = replace(variant, tuned=True), tuning_recipe(self.recipe, student, variant)
            try:
                run = self._distilled(out, recipe)
            except (ConfigError, ModelError) as error:  # what has no rounding to train with
                self.candidates.append(Candidate(planned.shape.name, tuned.name, "refused", error.message))
                continue
            if self._made(planned, tuned, run).within:
                return

    def _trained(self, planned: Planned) -> Run | None:
        """Return the finished student, or None where it was given up, now or before."""
        name, recipe = planned.shape.name, shape_recipe(self.recipe, planned.shape)
        out = self.context.out / name / "student"
        key = {
            "student": recipe.student.model_dump(mode="json"),
            "data": self.dataset.fingerprint,
            "teacher": self.teacher.weights_sha256,
        }
        bar = self._bar()
        given_up = self.state.get("given_up", name, key)
        unfinished = (out / "recipe.toml").is_file() and not (out / RUN_FILE).is_file()
        if given_up is None or not unfinished or bar is None or given_up["best"] >= bar:
            self.context.tell(f"{name}: training")
            watch = [] if bar is None or len(recipe.student.learning_rates or ()) > 1 else [GiveUp(bar, self.metric)]
            try:
                return self._distilled(out, recipe, watch)
            except Pruned as error:
                given_up = {"step": error.step, "steps": error.steps, "best": error.best}
                self.state.put("given_up", name, key, given_up)
        reason = (
            f"given up at step {given_up['step']:,} of {given_up['steps']:,}: {self.metric.replace('_', ' ')} "
            f"{100 * given_up['best']:.1f}%, the teacher's {100 * self.quality:.1f}%"
        )
        self.context.tell(f"{name}: {reason}")
        self.candidates.append(Candidate(name, "", "hopeless", reason, student=given_up["best"]))
        return None

    def _bar(self) -> float | None:
        """What half a training must have reached."""
        limit = self.budget.max_drop
        return None if limit is None else self.quality - (limit + self.recipe.search.margin) / 100

    def _distilled(self, out: Path, recipe: Recipe, watch: Sequence[TrainerCallback] = ()) -> Run:
        run = distill_one(
            self.teacher,
            self.dataset,
            out=out,
            recipe=recipe,
            show_check=self.show_check,
            progress=self.context.progress,
            callbacks=(*self.context.callbacks, *watch),
        )
        self.show_check = False
        return run

    def _made(self, planned: Planned, variant: Variant, student: Run) -> Candidate:
        """Export a student in a variant, measure it, and keep what came out."""
        recipe = variant.laid_over(self.recipe)
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
                )
            except VerificationError as error:
                if TRUST in error.fix:  # so would be every other variant, and more training mends nothing
                    raise
                refused = "; ".join([error.message, *(f"{name} {seen}" for name, seen in error.accepted.items())][:3])
                self.state.put("refused", base.name, key, refused)
        found = replace(base, reason=refused) if refused is not None else self._measured(base, artifact)
        self.candidates.append(found)
        self.context.tell(f"{found.name}: {_said(found, self.metric)}")
        return found

    def _measured(self, base: Candidate, artifact: Artifact) -> Candidate:
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

    def _run_on(self, artifact: Path, split: str) -> np.ndarray:
        texts = self.dataset.split(split)
        with load(artifact, device="cpu", threads=self.machine["threads"], trust=self.trust) as classifier:
            return classifier.logits(texts.texts, texts.pairs)

    def _leave_out(self, planned: Planned, reason: str, **known: Any) -> None:
        self.context.tell(f"{planned.shape.name}: left out: {reason}")
        self.candidates.append(Candidate(planned.shape.name, "", "hopeless", reason, **known))


def _said(found: Candidate, metric: str) -> str:
    if found.status != "measured":
        return str(found.reason)
    costs = found.costs
    return (
        f"{costs['max_mb']:.2f} MB, {costs['max_ms']:.2g} ms, {metric.replace('_', ' ')} "
        f"{100 * (found.quality or 0.0):.1f}%, {'within the budget' if found.within else 'beyond the budget'}"
    )
