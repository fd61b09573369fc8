"""The HTTP server: ``/metrics``, ``/healthz``, ``/readyz``, and 404 for all else."""

import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postern.console.health import reasons_not_ready
from postern.console.metrics import CONTENT_TYPE, Sample, exposition
from postern.runtime.clock import Clock
from postern.runtime.processes import ConsoleSetup, read_statuses, stale_workers

SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)

MOST_CONNECTIONS = 100
MOST_HEADER_BYTES = 16_384
KEEP_ALIVE_S = 5


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """What the console knows: where workers report, how many there should be.

    ``extra`` gives samples for ``/metrics`` that no worker reports, such as certificate expiry.
    """

    run_dir: Path
    workers: int
    stop_grace_s: float
    extra: Callable[[], Iterable[Sample]] = tuple


def make_application(settings: ConsoleSettings, clock: Clock) -> ASGIApp:
    """The pages, ready for any ASGI server."""

    # Plain functions on purpose: they read files, and Starlette runs such in a thread.
    def metrics(_request: Request) -> Response:
        statuses = read_statuses(settings.run_dir)
        numbers = {status.number for status in statuses}
        workers = max(numbers, default=-1) + 1
        stale = {number for number, _ in stale_workers(statuses, workers, clock.now())}
        page = exposition(statuses, numbers - stale, settings.extra())
        return Response(page, headers={"content-type": CONTENT_TYPE})

    def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        statuses = read_statuses(settings.run_dir)
        reasons = reasons_not_ready(statuses, settings.workers, clock.now())
        if reasons:
            return PlainTextResponse("".join(f"{r}\n" for r in reasons), status_code=503)
        return PlainTextResponse("ok\n")

    routes = [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
    pages = Starlette(routes=routes)
    pages.router.redirect_slashes = False
    return _SecurityHeaders(pages)


class _SecurityHeaders:
    """Adds the headers to every answer, errors among them."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        await self._application(scope, receive, send_with_headers)


def serve_console(settings: ConsoleSettings, setup: ConsoleSetup, clock: Clock) -> int:
    """Serve on the sockets of ``setup`` until SIGTERM; returns the exit code."""
    import uvicorn  # noqa: PLC0415 - only the console's own process pays for it

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                setup.report_ready()

    config = uvicorn.Config(
        make_application(settings, clock),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(settings.stop_grace_s)),
        http="h11",
        loop="uvloop",
        proxy_headers=False,
    )
    # uvicorn raises the signal that stopped it once more after its clean end; it must not kill us.
    signal.signal(signal.SIGTERM, lambda *_: None)
    Server(config).run(sockets=list(setup.sockets))
    return 0
