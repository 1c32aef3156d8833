"""A training in a process of its own, which may kill itself at a chosen moment. Run by the tests of this folder.

The request comes as the global REQUEST (runpy) or as JSON in the first argument:

    base, data, out, settings    what ``finetune`` gets
    step                         die at the end of this step
    function, call, after        die at the call with this number of "module:function"; after it, if ``after``
    digest                       write a hash of the weights at the end of the training into this file
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from liteft.finetuning import finetune


def die() -> None:
    """Kill this process as the system would when memory runs out: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingAtStep(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == self.step:
            die()


class Digest(TrainerCallback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_end(self, args: Any, _state: Any, _control: Any, model: Any = None, **_rest: Any) -> None:
        digest = hashlib.sha256()
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.removeprefix("module.").encode() + tensor.detach().cpu().numpy().tobytes())
        self.path.with_name(f"{self.path.name}.{args.process_index}").write_text(digest.hexdigest())


def die_in(function: str, call: int, after: bool) -> None:
    """Replace a function by one that dies at a call; ``torch.save`` leaves half a file behind."""
    module, _, name = function.partition(":")
    original = getattr(import_module(module), name)
    calls = [0]

    def dying(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] == call and not after:
            if function == "torch:save":
                Path(arguments[1]).write_bytes(b"half a fi")
            die()
        result = original(*arguments, **keywords)
        if calls[0] == call:
            die()
        return result

    setattr(import_module(module), name, dying)


def main(request: dict[str, Any]) -> None:
    gc.freeze()  # what was imported before the fork: the collection of a training would look through it
    callbacks: list[TrainerCallback] = []
    if "step" in request:
        callbacks.append(DyingAtStep(request["step"]))
    if "digest" in request:
        callbacks.append(Digest(Path(request["digest"])))
    if "function" in request:
        die_in(request["function"], request.get("call", 1), request.get("after", False))
    finetune(request["base"], request["data"], out=request["out"], callbacks=callbacks, **request["settings"])


if __name__ in ("__main__", "training_process"):
    main(globals().get("REQUEST") or json.loads(sys.argv[1]))
