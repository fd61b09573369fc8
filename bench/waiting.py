"""``python -m bench.waiting``: a million messages wait for ten thousand groups.

They are written into the spools as the server writes them, so that the bench measures how it lives
with them and not how they came. Then: how soon it is ready, what it keeps in memory, what a claim
costs, and whether mail for others flows as it does with an empty queue.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.reached import Reached
from bench.stopped import StillSink, still_sink
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder
from tests.peers.proctree import tree
from tests.peers.sink import smtp_source
from tests.spool.mail import message

from postern.mail.outcome import Cause
from postern.spool.body import BodyFolder
from postern.spool.message import DeliveryState
from postern.spool.rows import delivery_row, message_row
from postern.spool.store.file import SpoolFile
from postern.spool.store.schema import INSERT_DELIVERY, INSERT_MESSAGE

WAITING = 1_000_000
GROUPS = 10_000
WORKERS = 2
BODY_BYTES = 1_000
FIRST_ID = 1 << 30
"""Beyond the trace numbers that the server will hand out while the bench runs."""
DAY_S = 86_400.0
AT_ONCE = 20_000
CLAIMS = 2_000
CLAIM_LIMIT = 16
"""What the queue asks for when a group wakes (``postern.queue.groups.MIN_CLAIM``)."""
SENT = 6_000
ROUNDS = 5
READY_S = 10.0
MOST_MB = 500.0
CLAIM_MS = 5.0
LEAST_RATIO = 0.9


def settings(port: int) -> PosternSettings:
    """All new mail for the sink; what waits is not due for a day."""
    return PosternSettings(
        workers=WORKERS,
        listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
        tables=(
            ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{port}"'),
            ("limits", "connections_per_address = 1000"),
        ),
        top="stop_grace_s = 2",
    )


def fill(spools: Path, count: int, groups: int) -> None:
    """Write ``count`` waiting messages into the workers' spools, evenly over the groups."""
    now = time.time()
    for worker in range(WORKERS):
        (spools / str(worker)).mkdir(parents=True, exist_ok=True)
        file = SpoolFile(spools / f"{worker}.db", BodyFolder(spools / str(worker)))
        rows = waiting_rows(count // WORKERS, groups, worker, now)
        while some := [row for _, row in zip(range(AT_ONCE), rows, strict=False)]:
            with file.transaction():
                file._db.executemany(INSERT_MESSAGE, [one for one, _ in some])  # noqa: SLF001 - its own rows, faster than messages
                file._db.executemany(INSERT_DELIVERY, [other for _, other in some])  # noqa: SLF001 - its own rows
        file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001 - its own rows
        file.close()


def waiting_rows(
    count: int, groups: int, worker: int, now: float
) -> Iterator[tuple[tuple[object, ...], tuple[object, ...]]]:
    """Rows as the server would have written them after a first try that nobody answered."""
    chance = random.Random(worker)
    templates = []
    for number in range(groups):
        name = f"d{number}.example"
        made = message(FIRST_ID, f"someone@{name}", at=now, body=b"x" * BODY_BYTES)
        (delivery,) = made.deliveries
        delivery.state, delivery.group, delivery.tries = DeliveryState.WAITING, name, 1
        delivery.cause, delivery.last_reply = Cause.SILENT.value, f"451 4.4.1 mx.{name} is silent"
        made.expires_at = now + 5 * DAY_S
        templates.append((message_row(made), delivery_row(made.id, delivery)))
    for number in range(count):
        key = FIRST_ID + number * WORKERS + worker
        one, other = templates[number % groups]
        due = now + DAY_S + chance.random() * 3600.0
        yield (key, *one[1:]), (key, *other[1:3], due, *other[4:])


def resident_mb(server: PosternServer) -> float:
    """Memory of the whole tree that is no file's (RssAnon and RssShmem), shared pages once each."""
    total = 0
    for stat in tree(server.pid):
        lines = Path(f"/proc/{stat.pid}/status").read_text().splitlines()
        named = dict(line.split(":", 1) for line in lines if ":" in line)
        total += sum(int(named[name].split()[0]) for name in ("RssAnon", "RssShmem"))
    return total / 1000.0


def throughput(server: PosternServer, still: StillSink, before: int) -> float:
    """Messages a second from the first connection to the last one in the sink."""
    began = time.monotonic()
    smtp_source(server.port(), messages=SENT, sessions=20, timeout_s=300.0)
    still.sink.wait_for(before + SENT, within_s=300.0)
    return SENT / (time.monotonic() - began)


def claims_ms(spool: Path, groups: int) -> list[float]:
    """What reading a group's due mail costs, each a group that was not read before."""
    file = SpoolFile(spool, BodyFolder(spool.with_suffix("")))
    later = time.time() + 2 * DAY_S
    took = []
    try:
        for number in random.Random(1).sample(range(groups), min(CLAIMS, groups)):
            began = time.monotonic()
            due = file.due(f"d{number}.example", later, CLAIM_LIMIT)
            for key, _ in due:
                file.load(key)
            file.next_due(f"d{number}.example", later)
            took.append((time.monotonic() - began) * 1000.0)
    finally:
        file.close()
    return sorted(took)


def a_million_waiting(count: int = WAITING, groups: int = GROUPS) -> list[Reached]:
    """All of it, empty and full in turn.

    Raises:
        AssertionError: the server does not know of all that waits.
    """
    with short_folder() as folder, still_sink(folder, keeps=False) as still:
        still.wake()
        with postern(settings(still.port)) as server:
            rates: dict[str, list[float]] = {"empty": [], "full": []}
            sent = 0
            throughput(server, still, sent)  # what is loaded once
            sent += SENT
            for _ in range(ROUNDS):
                rates["empty"].append(throughput(server, still, sent))
                sent += SENT
            server.stop()
            sys.stderr.write(f"waiting: writing {count:,} messages\n")
            fill(server.data / "spool", count, groups)
            began = time.monotonic()
            server.start()
            ready_s = time.monotonic() - began
            assert server.waiting() == count, f"{server.waiting()} of {count} wait"
            memory_mb = resident_mb(server)
            throughput(server, still, sent)
            sent += SENT
            for _ in range(ROUNDS):
                rates["full"].append(throughput(server, still, sent))
                sent += SENT
            memory_mb = max(memory_mb, resident_mb(server))
            server.stop()
            took = claims_ms(server.data / "spool" / "0.db", groups)
    empty, full = (statistics.median(rates[name]) for name in ("empty", "full"))
    what = f"{count:,} waiting in {groups:,} groups"
    note = f"{full:,.0f} against {empty:,.0f} messages a second, medians of {ROUNDS}"
    return [
        Reached(f"{what}: ready in", ready_s, "s", READY_S),
        Reached("memory of all processes, page cache apart", memory_mb, "MB", MOST_MB),
        Reached("a claim's 99th percentile", took[len(took) * 99 // 100], "ms", CLAIM_MS),
        Reached("how much slower other mail goes", empty / full, "x", 1 / LEAST_RATIO, note),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description=__doc__)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--groups", type=int, default=GROUPS)
    options = parser.parse_args()
    found = a_million_waiting(options.waiting, options.groups)
    for one in found:
        print(one.line())
    return int(not all(one.is_good for one in found))


if __name__ == "__main__":
    sys.exit(main())
