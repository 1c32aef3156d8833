"""Serving artifacts over HTTP: one process, one event loop, and one thread that computes.

`running` is a whole server, `protocol` its HTTP, `app` the routes, `http` what is around every request. `dialects` are
what clients speak; `reading` and `rendering` turn their bodies into values and logits into answers. `service` admits a
request, `queueing` is the queue, `lane` computes it; `models` are loaded, warmed and replaced. Beside these:
`settings`, `refusals`, `metrics`, `keys`, `tracing`, `tensors`, `openapi`.
"""

from __future__ import annotations

from liteft.errors import MissingExtraError
from liteft.installation import install_hint

try:
    import httptools  # noqa: F401  # of uvicorn: without it, requests are parsed in Python
    import msgspec  # noqa: F401
    import prometheus_client  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f"serving needs {error.name}, which is not installed.", fix=install_hint("serve")
    ) from error

from liteft.serving.app import create_app
from liteft.serving.running import serve
from liteft.serving.settings import ServeSettings

__all__ = ["ServeSettings", "create_app", "serve"]
