"""A sink that stands still: mail for it is accepted and waits, until it wakes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.sink import Sink, smtp_sink


@dataclass
class StillSink:
    """smtp-sink under SIGSTOP: the kernel takes connections for it, and nobody greets."""

    sink: Sink
    kept: Path

    @property
    def port(self) -> int:
        """Where it would listen."""
        return self.sink.port

    def wake(self) -> None:
        """From now on it takes everything."""
        os.kill(self.sink.server.pid, signal.SIGCONT)

    def messages(self) -> Iterator[bytes]:
        """Every message it took and kept, in no order, with LF at the ends of lines."""
        for path in self.kept.iterdir():
            yield path.read_bytes().replace(b"\r\n", b"\n")


@contextmanager
def still_sink(folder: Path, *, keeps: bool = False) -> Iterator[StillSink]:
    """A sink that stands still until ``wake``; ``keeps``: it writes down what it takes."""
    kept = folder / "kept"
    kept.mkdir()
    kept.chmod(0o777)  # smtp-sink drops to another user
    options = ["-d", f"{kept}/m"] if keeps else []
    with smtp_sink("-m", "512", *options, log=folder / "sink.log") as sink:
        os.kill(sink.server.pid, signal.SIGSTOP)
        try:
            yield StillSink(sink, kept)
        finally:
            os.kill(sink.server.pid, signal.SIGCONT)
