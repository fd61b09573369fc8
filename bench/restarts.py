"""``python -m bench.restarts``: fewer workers, and a kill -9 with 100,000 messages waiting."""

import argparse
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.client import text_of
from bench.memory import by_data, steady_bytes
from bench.reached import Reached
from bench.stopped import StillSink, still_sink
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until
from tests.peers.sink import smtp_source

FEW = 1_000
LARGE_EVERY = 20
LARGE_BYTES = 1_000_000
WAITING = 100_000
READY_S = 30.0
DRAIN_S = 600.0
SENDERS = 4
SUBJECT = re.compile(rb"^Subject: message-(\d+)$", re.MULTILINE)


def settings(port: int, workers: int) -> PosternSettings:
    """All mail for the sink."""
    return PosternSettings(
        workers=workers,
        listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
        tables=(
            ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{port}"'),
            ("queue", "first_retry_s = 1.0\nmax_retry_s = 5.0"),
            ("limits", "connections_per_address = 1000"),
        ),
        top="stop_grace_s = 2",
    )


@contextmanager
def waiting_server(
    workers: int, *, keeps: bool = False
) -> Iterator[tuple[PosternServer, StillSink]]:
    """A server whose mail waits for a sink that stands still."""
    with (
        short_folder() as folder,
        still_sink(folder, keeps=keeps) as still,
        postern(settings(still.port, workers)) as server,
    ):
        yield server, still


def fewer_workers(count: int = FEW) -> list[Reached]:
    """Queue with two workers, go on with one: all arrive, each once.

    Raises:
        AssertionError: something was lost or came twice.
    """
    with waiting_server(2, keeps=True) as (server, still):
        with ThreadPoolExecutor(SENDERS) as threads:
            list(threads.map(lambda number: send(server.port(), number), range(count)))
        spools = [spool.stat().st_size for spool in spools_of(server.data)]
        server.stop()
        server.write_config(replace(server.settings, workers=1))
        begin = time.monotonic()
        server.start()
        ready_s = time.monotonic() - begin
        assert server.waiting() == count, f"{server.waiting()} of {count} wait"
        still.wake()
        still.sink.wait_for(count, within_s=DRAIN_S)
        wait_until(lambda: server.waiting() == 0, "an empty queue", within_s=60)
        seen = Counter(number_of(message) for message in still.messages())
    lost = set(range(count)) - set(seen)
    assert not lost, f"lost: {sorted(lost)[:5]}"
    twice = [number for number, times in seen.items() if times > 1]
    assert not twice, f"delivered twice: {twice[:5]}"
    note = f"{count:,} messages, {count // LARGE_EVERY} of 1 MB, from {len(spools)} spools"
    return [Reached("2 workers, then 1: ready in", ready_s, "s", READY_S, f"{note}, each once")]


def send(port: int, number: int) -> None:
    """One message by its number."""
    by_data(port, "a@sink.test", numbered(number))


def numbered(number: int) -> bytes:
    """A message with its number as subject; every twentieth is large."""
    size = LARGE_BYTES if number % LARGE_EVERY == 0 else 3_000
    return text_of(size, f"message-{number}")


def number_of(arrived: bytes) -> int:
    """Which message this is, after a look at every octet of it."""
    found = SUBJECT.search(arrived)
    assert found is not None, f"no message of ours: {arrived[:500]!r}"
    number = int(found[1])
    assert numbered(number).replace(b"\r\n", b"\n") in arrived, f"{number} has changed"
    return number


def spools_of(data: Path) -> list[Path]:
    """The workers' databases."""
    return sorted((data / "spool").glob("*.db"))


def killed_under_load(count: int = WAITING) -> list[Reached]:
    """Kill the whole tree while mail flows in and ``count`` messages wait; start; drain.

    Raises:
        AssertionError: an acknowledged message was lost.
    """
    with waiting_server(2) as (server, still):
        idle = steady_bytes(server)
        smtp_source(server.port(), messages=count, sessions=20, timeout_s=DRAIN_S)
        loaded = steady_bytes(server) - idle
        load = threading.Thread(target=keep_sending, args=(server.port(),), daemon=True)
        load.start()
        time.sleep(2)
        server.kill()
        load.join(30)
        begin = time.monotonic()
        server.start()
        ready_s = time.monotonic() - begin
        again = steady_bytes(server) - idle
        waiting = server.waiting()
        assert waiting >= count, f"{count - waiting} messages are lost"
        still.wake()
        begin = time.monotonic()
        drained = still.sink.wait_for(waiting, within_s=DRAIN_S) - begin
        wait_until(lambda: server.waiting() == 0, "an empty queue", within_s=60)
        twice = still.sink.messages - waiting
    what = f"kill -9 under load, {count:,} waiting"
    return [
        Reached(f"{what}: ready in", ready_s, "s", READY_S),
        Reached("memory above idle while they wait", loaded / 1e6, "MB"),
        Reached("memory above idle after the start", again / 1e6, "MB"),
        Reached("then drained in", drained, "s", None, f"none lost, {twice} delivered twice"),
    ]


def keep_sending(port: int) -> None:
    """Load until the server dies."""
    try:
        smtp_source(port, messages=1_000_000, sessions=20, timeout_s=60)
    except RuntimeError:
        return  # smtp-source stops when the server is gone


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.restarts", description=__doc__)
    parser.add_argument("--waiting", type=int, default=WAITING)
    found = [*fewer_workers(), *killed_under_load(parser.parse_args().waiting)]
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
