"""What an output folder holds already: parts that agree with the plan, that do not, or that are of something else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from liteft.bulk.job import Job
from liteft.bulk.parts import finished_parts, is_part, origin
from liteft.bulk.plan import Unit
from liteft.bulk.preparing import Prepared
from liteft.bulk.storage import Target
from liteft.errors import RunError, option
from liteft.runtime.scored_blocks import Counts

__all__ = ["finished", "to_do"]


def to_do(prepared: Prepared, target: Target, *, overwrite: bool) -> tuple[dict[str, Counts], list[Unit]]:
    """Return the counts of the parts that are finished, and the units that have none; remove parts that disagree.

    Raises:
        RunError: there are parts of something else, or parts with nulls where rows without a usable text are an error.
    """
    job = prepared.job
    wanted = {job.identity.name(unit): unit for unit in prepared.units}
    strange = [name for name in target.names() if is_part(name) and name not in wanted]
    if strange and not overwrite:
        raise _strange(job, prepared.units, target, strange)
    agreeing = _agreeing(job, target, wanted)
    done = _without_nulls(job, agreeing)
    nulls = [name for name in agreeing if name not in done]
    if nulls and not overwrite:
        raise _with_nulls(target, nulls, sum(agreeing[name].refused for name in nulls))
    for name in strange + [name for name in target.names() if name in wanted and name not in done]:
        target.remove(name)
    return done, [unit for name, unit in wanted.items() if name not in done]


def finished(job: Job, target: Target, wanted: Mapping[str, Unit]) -> dict[str, Counts]:
    """Return the counts of the parts that are there, agree, and are what is asked for."""
    return _without_nulls(job, _agreeing(job, target, wanted))


def _agreeing(job: Job, target: Target, wanted: Mapping[str, Unit]) -> dict[str, Counts]:
    """Return the counts of the parts whose footers agree; it reads them all."""
    return finished_parts(target, {name: job.identity.about(unit) for name, unit in wanted.items()})


def _without_nulls(job: Job, found: Mapping[str, Counts]) -> dict[str, Counts]:
    """Leave out parts with nulls, which are not what ``on_error="raise"`` asks for."""
    nulls = job.settings["on_error"] == "null"
    return {name: counts for name, counts in found.items() if nulls or not counts.refused}


def _with_nulls(target: Target, names: list[str], rows: int) -> RunError:
    """Return the error for finished parts with nulls that ``on_error="raise"`` would give up."""
    return RunError(
        f"{target.path} has {len(names):,} finished {'part' if len(names) == 1 else 'parts'} with nulls for "
        f"{rows:,} {'row' if rows == 1 else 'rows'} without a usable text, and such rows are an error now.",
        fix=[option("on_error", "null"), option("overwrite", note=", to score these parts again")],
    )


def _strange(job: Job, units: Sequence[Unit], target: Target, names: list[str]) -> RunError:
    """Return the error for parts that are not in the plan, and say what differs in the first."""
    said = origin(target, names[0])
    was, settings = said.get("unit", {}), said.get("settings", {})
    differences = {}
    if said and said.get("artifact") != job.sha256:
        differences["artifact"] = "another one"
    now = json.loads(json.dumps(job.determining))
    for name in sorted({*settings, *now} if said else ()):
        if settings.get(name) != now.get(name):
            differences[name] = f"was {settings.get(name)!r}, is {now.get(name)!r}"
    same = [unit for unit in units if unit.path == was.get("path")]
    if said and not same:
        differences["input"] = f"{was.get('path')}, which is not among the inputs"
    elif said and (same[0].version, same[0].bytes) != (was.get("version"), was.get("bytes")):
        differences["input"] = f"{was.get('path')}, which has changed"
    elif said and not differences:
        differences["units"] = f"of another size: {Unit.of(was)}"
    return RunError(
        f"{target.path} has {len(names):,} {'part' if len(names) == 1 else 'parts'} of something else, such as "
        f"{names[0]}.",
        accepted=differences,
        fix=[option("out", "FOLDER", note=", another one"), option("overwrite", note=", to remove these parts")],
    )
