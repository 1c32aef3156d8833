"""Classify inside a FastAPI app of your own: load at startup, compute off the event loop, close at the end.

    python examples/fastapi_app.py runs/reviews/artifact --port 8000
    curl localhost:8000/tickets -H 'content-type: application/json' -d '{"texts": ["great film"]}'

LiteFT is three lines: one in `lifespan`, one in `classified`, one that mounts. The mounted part has all routes of
`liteft serve`, here below /models, with its queue, limits and metrics; leave it out if your own routes are enough.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

import liteft


class Tickets(BaseModel):
    """What is asked; a body with more or longer texts is refused before anything is computed."""

    texts: list[Annotated[str, Field(max_length=20_000)]] = Field(max_length=256)


class Answer(BaseModel):
    """The label of one text, its score, and whether only a part of the text was read."""

    label: str
    score: float
    truncated: bool


def build_app(artifact: str) -> FastAPI:
    """Return an app that classifies with an artifact."""
    served = liteft.create_app([f"tickets={artifact}"])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The app around a mounted one does not start it.
        with liteft.load(artifact) as app.state.classifier:
            async with served.router.lifespan_context(served):
                yield

    app = FastAPI(title="Tickets", lifespan=lifespan)

    @app.post("/tickets")
    async def classified(asked: Tickets, request: Request) -> list[Answer]:
        classifier: liteft.Classifier = request.app.state.classifier
        found = await run_in_threadpool(classifier.predict, asked.texts)  # computes without the GIL
        return [Answer(label=each.label, score=each.score, truncated=each.truncated) for each in found]

    app.mount("/models", served)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    uvicorn.run(build_app(given.artifact), host=given.host, port=given.port)
