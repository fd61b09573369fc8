"""The servers that are measured, each started anew for every round, alone on the machine."""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.scenario import Way
from scripts.compile import FOLDER, SOURCES
from tests.peers.postern_server import Listening, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, Smarthost, postfix
from tests.peers.process import Server, free_port, short_folder

RECIPIENT = "sink@sink.test"
AIOSMTPD = Path(__file__).with_name("aiosmtpd_server.py")
LARGEST_BYTES = 100_000_000
"""Messages up to this size are taken by every contestant."""
LIMITS = f"max_message_bytes = {LARGEST_BYTES}\nconnections_per_address = 1000"
"""What Postern needs for a load that comes from one address."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server under test: where it listens, the root of its process tree, its unfinished mail."""

    port: int
    pid: int
    unfinished: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server. ``start(way, sink_port)`` runs it; ``note`` is printed below the tables."""

    name: str
    note: str
    ways: tuple[Way, ...]
    start: Callable[[Way, int], AbstractContextManager[Running]]


# What differs from Debian's installation: folders and ports (several instances must fit on one
# machine), no chroot, no PTR lookups, all mail to one smarthost. Everything else is its default.
POSTFIX_NEEDED = {
    "message_size_limit": str(LARGEST_BYTES),
    "smtp_tls_security_level": "none",
}
# What an administrator would turn for throughput.
POSTFIX_TUNED = {
    "in_flow_delay": "0",
    "smtpd_error_sleep_time": "0",
    "default_destination_concurrency_limit": "50",
    "initial_destination_concurrency": "20",
    "smtp_connection_cache_on_demand": "yes",
    "max_use": "1000",
}


def postfix_contestant(*, tuned: bool) -> Contestant:
    """Postfix as Debian installs it, or with ``POSTFIX_TUNED``."""

    @contextmanager
    def start(way: Way, sink_port: int) -> Iterator[Running]:
        main = POSTFIX_NEEDED | (POSTFIX_TUNED if tuned else {})
        if way is Way.ACCEPT:
            # HOLD: written and synced like any mail, but the queue manager never hears of it. This
            # is kind to Postfix: what it would spend on scheduling is not counted.
            main["smtpd_client_restrictions"] = "check_client_access static:HOLD"
        settings = PostfixSettings(
            hostname="postfix.test", smarthost=Smarthost("127.0.0.1", sink_port), main_cf=main
        )
        with postfix(settings) as peer:
            yield Running(peer.port, peer.server.pid, peer.queue_length)

    return Contestant(
        "Postfix tuned" if tuned else "Postfix",
        "durable; accept: mail is put on hold, so its queue manager does nothing",
        (Way.ACCEPT, Way.RELAY),
        start,
    )


def postern_contestant(*, workers: int, compiled: bool = True) -> Contestant:
    """Postern with its journal on, as ``make compile run`` starts it, or ``make run`` alone."""
    name = "Postern" if compiled else "Postern interpreted"
    how = "compiled (make compile)" if compiled else "as it is without a compiler"
    where = FOLDER if compiled else SOURCES.parent

    @contextmanager
    def start(way: Way, sink_port: int) -> Iterator[Running]:
        with tarpit() as silent_port:
            target = sink_port if way is Way.RELAY else silent_port
            settings = PosternSettings(
                hostname="postern.test",
                workers=workers,
                environment={"PYTHONPATH": str(where)},
                listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
                tables=(
                    ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{target}"'),
                    ("delivery", 'egress = "sink"'),
                    (
                        "limits",
                        f"max_message_bytes = {LARGEST_BYTES}\nconnections_per_address = 1000",
                    ),
                ),
            )
            with postern(settings) as server:
                yield Running(server.port(), server.pid, server.waiting)

    return Contestant(
        name,
        f"durable, journal on, {how}; accept: all mail is for a destination that never says a word",
        (Way.ACCEPT, Way.RELAY),
        start,
    )


def aiosmtpd_contestant() -> Contestant:
    """aiosmtpd, the reference for SMTP in Python: takes the message and forgets it."""

    @contextmanager
    def start(way: Way, sink_port: int) -> Iterator[Running]:
        del way, sink_port
        with short_folder() as folder:
            port = free_port()
            server = Server("aiosmtpd", [sys.executable, str(AIOSMTPD), str(port)], folder / "log")
            with server:
                server.wait_for_greeting(port, b"220 ")
                yield Running(port, server.pid, lambda: 0)

    return Contestant(
        "aiosmtpd",
        "NOT durable: the message is dropped in memory; one process; a reference, no mail server",
        (Way.ACCEPT,),
        start,
    )


@contextmanager
def tarpit() -> Iterator[int]:
    """A port that takes connections and never says a word.

    Mail for it is accepted, written and scheduled, and then waits: the few lanes of the one
    destination stand still, and no attempt fails that would have to be written down.
    """
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1024)
        yield silent.getsockname()[1]
