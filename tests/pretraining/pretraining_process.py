"""A pretraining in a process of its own that kills itself at a chosen call. Run by the tests of this folder.

The request is the global REQUEST: texts, out, settings; function, call, after as for ``training_process``.
"""

from __future__ import annotations

import gc
from typing import Any

from liteft.pretraining import pretrain
from tests.finetuning.training_process import die_in


def main(request: dict[str, Any]) -> None:
    gc.freeze()
    die_in(request["function"], request["call"], request["after"])
    pretrain(request["texts"], out=request["out"], **request["settings"])


if __name__ == "pretraining_process":
    main(globals()["REQUEST"])
