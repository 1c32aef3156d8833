"""A general distillation in a process of its own that kills itself at a chosen call. Run by test_general.py.

The request is the global REQUEST: base, out, recipe; function, call, after as for ``training_process``.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from liteft.distillation.general import plan_general
from liteft.distillation.teachers import find_teacher
from liteft.finetuning.context import RunContext
from liteft.recipes import Recipe
from tests.finetuning.training_process import die_in


def main(request: dict[str, Any]) -> None:
    gc.freeze()
    die_in(request["function"], request["call"], request["after"])
    recipe = Recipe.model_validate(request["recipe"])
    plan_general(find_teacher(request["base"], recipe=recipe), recipe).run(RunContext(Path(request["out"])))


if __name__ == "general_process":
    main(globals()["REQUEST"])
