"""From items to an outcome: what all dialects have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.serving.http import Request
from liteft.serving.jobs import Outcome
from liteft.serving.reading import Item, Options, require_plain, values_of
from liteft.serving.refusals import refused_input
from liteft.serving.service import Service

__all__ = ["outcome_of"]


async def outcome_of(
    service: Service, request: Request, name: str | None, items: list[Item], options: Options, *, truncate: bool = True
) -> tuple[Outcome, list[Any]]:
    """Return the outcome of items and their values.

    Args:
        service, request: as the endpoint has them.
        name: of the model; None for the only one.
        items: as they were sent.
        options: how answers are wanted.
        truncate: False refuses a request with a text that was cut.

    Raises:
        Refused: as in ``Service.ask``, an item is not what the model reads, or an option does not fit it.
    """
    model = service.model(name)
    request.model = model.name
    require_plain(options, model)
    values = values_of(items, model)
    outcome = await request.ask(service, model, values)
    if not truncate and outcome.truncated.any():
        cut = int(np.argmax(outcome.truncated))
        most = outcome.loaded.manifest.max_tokens
        raise refused_input(
            f'text {cut} has more than the {most:,} tokens that this model reads; "truncate": true cuts it'
        )
    return outcome, values
