"""The highest memory of a process tree while something happens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.peers.proctree import tree_pss_bytes


@contextmanager
def highest_memory(pid: int, *, every_s: float) -> Iterator[list[int]]:
    """The highest PSS seen, in bytes, as the only item of a list; looked at ``every_s``."""
    peak = [tree_pss_bytes(pid)]
    done = threading.Event()

    def look() -> None:
        while not done.wait(every_s):
            peak[0] = max(peak[0], tree_pss_bytes(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
