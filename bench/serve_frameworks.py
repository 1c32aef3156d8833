"""Measures what web frameworks cost a request, apart from the engine: processor time on uvicorn, with one answer ready.

    python bench/serve_frameworks.py --rounds 5

``starlette_asgi`` is what ``liteft serve`` has: Starlette's router, plain ASGI endpoints, msgspec. The others add one
thing each: Starlette's Request and Response, FastAPI's router around these, and FastAPI with pydantic's types for body
and answer. The server has core 0, this process core 1. A figure is the median over rounds, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from load_requests import DIALECTS, draw_texts
from load_setup import head, parser
from machine import tell, write_result
from serve_load import DRAWN_TEXTS, Load
from serve_process import CLIENT_CORE, Server, free_port, running, stay_on

APPS = ("asgi", "starlette_asgi", "starlette", "fastapi_request", "fastapi")
ANSWER = [{"label": "positive", "score": 0.75}, {"label": "negative", "score": 0.25}]
PACKAGES = ("starlette", "fastapi", "uvicorn", "uvloop", "httptools", "msgspec", "pydantic")
_CONNECTIONS = 8


def main() -> int:
    found = parser(__doc__, "serve_frameworks.json")
    found.add_argument("--serve", choices=APPS, help=argparse.SUPPRESS)
    found.add_argument("--port", type=int, help=argparse.SUPPRESS)
    found.add_argument("--rounds", type=int, default=5)
    found.add_argument("--seconds", type=float, default=3.0, help="of each app, in each round")
    arguments = found.parse_args()
    if arguments.serve:
        import uvicorn

        uvicorn.run(app(arguments.serve), port=arguments.port, log_level="error", access_log=False)
        return 0
    result = head("serve_frameworks.py", PACKAGES)
    stay_on(CLIENT_CORE)
    texts = draw_texts(arguments.data, "short", DRAWN_TEXTS, arguments.seed)
    rounds = [{name: measured(name, texts, arguments.seconds) for name in APPS} for _ in range(arguments.rounds)]
    result |= {"rounds": arguments.rounds, "seconds": arguments.seconds}
    result["processor_us_per_request"] = {
        name: round(statistics.median(each[name] for each in rounds), 1) for name in APPS
    }
    tell(str(result["processor_us_per_request"]))
    write_result(arguments.out, result)
    return 0


def measured(name: str, texts: list[str], seconds: float) -> float:
    """Return the microseconds of processor time that an app takes for a request."""
    port = free_port()
    log = Path("build") / "serve_frameworks.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--serve", name, "--port", str(port)]
    with running(Server(command, port, "/health", log)) as server:
        load = Load(port, texts, 1, DIALECTS["tei"])
        load.closed_loop(0.5, _CONNECTIONS)
        before = sum(server.cpu_seconds())
        record = load.closed_loop(seconds, _CONNECTIONS)
        spent = sum(server.cpu_seconds()) - before
    return 1e6 * spent / int(np.count_nonzero(np.array(record.code) == 200))


def app(name: str) -> Any:
    """Return an application that reads a body with texts, and gives its one answer."""
    import msgspec

    class Asked(msgspec.Struct):
        inputs: Any

    decode, encode = msgspec.json.Decoder(Asked).decode, msgspec.json.Encoder().encode

    async def asgi(_: Any, receive: Any, send: Any) -> None:
        message = await receive()
        decode(message["body"] or b'{"inputs": ""}')
        body = encode(ANSWER)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    if name == "asgi":
        return asgi
    return _starlette(name, asgi, decode, encode) if name.startswith("starlette") else _fastapi(name, decode, encode)


def _starlette(name: str, asgi: Any, decode: Any, encode: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    class Plain:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await asgi(scope, receive, send)

    async def answer(request: Request) -> Response:
        decode(await request.body())
        return Response(encode(ANSWER), media_type="application/json")

    async def health(_: Request) -> Response:
        return PlainTextResponse("")

    endpoint: Any = Plain() if name == "starlette_asgi" else answer
    return Starlette(routes=[Route("/predict", endpoint, methods=["POST"]), Route("/health", health)])


def _fastapi(name: str, decode: Any, encode: Any) -> Any:
    from fastapi import FastAPI
    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response

    class Body(BaseModel):
        inputs: str | list[Any]

    class Label(BaseModel):
        label: str
        score: float

    made = FastAPI()

    async def health() -> str:
        return ""

    async def plain(request: Request) -> Response:
        decode(await request.body())
        return Response(encode(ANSWER), media_type="application/json")

    async def typed(body: Body) -> list[Label]:  # noqa: ARG001  # pydantic reads it: that is what is measured
        return [Label(**each) for each in ANSWER]  # type: ignore[arg-type]

    made.get("/health")(health)
    plain.__annotations__ = {"request": Request, "return": Response}
    typed.__annotations__ = {"body": Body, "return": list[Label]}
    if name == "fastapi":
        made.post("/predict")(typed)
    else:
        made.post("/predict", response_model=None)(plain)
    return made


if __name__ == "__main__":
    sys.exit(main())
