"""``python -m bench.disk``: the queue drains while its disk is full to the last byte.

The data folder is a tmpfs of its own, so this needs root; a full ext4 says the same ENOSPC.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import connect, hear, text_of
from bench.memory import by_data
from bench.reached import Reached
from bench.stopped import StillSink, still_sink
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until

DISK_MB = 96
RESERVE_BYTES = 16 << 20
BALLAST_BYTES = 4 << 20
MESSAGE_BYTES = 1 << 20
SMALL, LARGE = 150, 50
LARGE_BYTES = 200_000
LOOKED_AT_S = 2.5
"""Every worker has looked at the disk by then."""
STILL_S = 10.0
DRAIN_S = 120.0
LAY_AGAIN_S = 100.0
BALLAST = "spool/ballast"
DROPPED = "ballast_dropped"


def settings(port: int) -> PosternSettings:
    """A server that tries again soon."""
    return PosternSettings(
        workers=2,
        listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
        tables=(
            ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{port}"'),
            ("delivery", "session_budget_s = 3.0"),
            ("queue", "first_retry_s = 1.0\nmax_retry_s = 2.0"),
            ("limits", f"max_message_bytes = {MESSAGE_BYTES}"),
            ("spool", f"reserve_bytes = {RESERVE_BYTES}\nballast_bytes = {BALLAST_BYTES}"),
        ),
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of ``DISK_MB`` of its own at ``folder``."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> int:
    """Write until the disk takes no more; the bytes that went in."""
    written = 0
    with path.open("wb", buffering=0) as file:
        for piece in (1 << 20, 4096, 1):
            try:
                while True:
                    written += file.write(b"x" * piece)
            except OSError:
                continue
    return written


def answer_to_mail(server: PosternServer) -> str:
    """What a client is told that begins a message."""
    with connect(server.port()) as client:
        client.sendall(b"MAIL FROM:<a@client.test>\r\n")
        return hear(client, b"").decode().strip()


def accepts(server: PosternServer) -> bool:
    """Whether a message may begin."""
    return answer_to_mail(server).startswith("250")


def full_disk() -> list[Reached]:
    """Fill the disk below a queue, and let it drain.

    Raises:
        AssertionError, TimeoutError: it did not do as it should.
    """
    with (
        short_folder() as folder,
        still_sink(folder) as still,
        postern(settings(still.port), start=False) as server,
        small_disk(server.data),
    ):
        server.start()
        found = drained(server, still)
        server.stop()
    return found


def drained(server: PosternServer, still: StillSink) -> list[Reached]:
    """The measurement itself."""
    for size, count in ((4_000, SMALL), (LARGE_BYTES, LARGE)):
        for _ in range(count):
            by_data(server.port(), "a@sink.test", text_of(size))
    filler, ballast = server.data / "filler", server.data / BALLAST
    assert ballast.exists(), "no ballast was laid"
    fill(filler)
    time.sleep(LOOKED_AT_S)
    said = answer_to_mail(server)
    assert said.startswith("452 4.3.1"), said
    # Every failed try must be written down meanwhile, into what little room there is.
    time.sleep(STILL_S)
    still.wake()
    begin = time.monotonic()
    last = still.sink.wait_for(SMALL + LARGE, within_s=DRAIN_S)
    assert not accepts(server), "accepted on a full disk"
    used = "used" if DROPPED in server.log() else "not needed"
    filler.unlink()
    wait_until(lambda: accepts(server), "accepting again", within_s=10)
    wait_until(lambda: server.waiting() == 0, "an empty queue", within_s=60)
    again = time.monotonic()
    wait_until(ballast.exists, "the ballast laid again", within_s=LAY_AGAIN_S)
    laid_s = time.monotonic() - again
    assert still.sink.messages == SMALL + LARGE, f"{still.sink.messages} delivered"
    note = f"{SMALL} of 4 kB, {LARGE} of 200 kB, each once; MAIL is told 452; ballast {used}"
    return [
        Reached(f"full disk: {SMALL + LARGE} messages drain in", last - begin, "s", DRAIN_S, note),
        Reached("room again: the ballast is laid after", laid_s, "s", LAY_AGAIN_S),
    ]


def main() -> int:
    """Measure and print."""
    found = full_disk()
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
