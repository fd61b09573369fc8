"""smtp-source and smtp-sink, the load generator and bottomless receiver that come with Postfix."""

import os
import pty
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.process import Server, free_port

COUNTER = re.compile(rb"mesg=\s*(\d+)")


@dataclass
class Sink:
    """A running smtp-sink that counts what it took."""

    port: int
    server: Server
    messages: int = 0
    last_at: float = 0.0
    _moved: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, counters: int) -> None:
        """Read the counter lines until the sink ends; runs in a thread of its own."""
        rest = b""
        while True:
            try:
                chunk = os.read(counters, 65536)
            except OSError:
                return
            if not chunk:
                return
            found = COUNTER.findall(rest + chunk)
            rest = chunk[-64:]
            if found:
                with self._moved:
                    self.messages = max(self.messages, int(found[-1]))
                    self.last_at = time.monotonic()
                    self._moved.notify_all()

    def wait_for(self, count: int, *, within_s: float) -> float:
        """Wait until ``count`` messages came in all; returns the monotonic second of the last."""
        with self._moved:
            if not self._moved.wait_for(lambda: self.messages >= count, within_s):
                raise TimeoutError(
                    f"the sink has {self.messages} of {count} messages after {within_s:g} s"
                )
            return self.last_at


@contextmanager
def smtp_sink(
    *options: str, log: Path, user: str = "nobody", backlog: int = 1024
) -> Iterator[Sink]:
    """Start smtp-sink on a free loopback port.

    The counter (``-c``) is read through a pseudo-terminal: it is exact, updated at each final dot.
    """
    port = free_port()
    ours, theirs = pty.openpty()
    command = ["smtp-sink", "-c", *options]
    if os.geteuid() == 0:
        command += ["-u", user]
    command += [f"127.0.0.1:{port}", str(backlog)]
    server = Server("smtp-sink", command, log, stdout=theirs).start()
    os.close(theirs)
    sink = Sink(port, server)
    reader = threading.Thread(target=sink.follow, args=(ours,), daemon=True)
    reader.start()
    try:
        server.wait_for_greeting(port)
        yield sink
    finally:
        server.stop()
        reader.join(10)
        os.close(ours)


def smtp_source(
    port: int,
    *,
    messages: int,
    sessions: int = 1,
    size_bytes: int = 4096,
    sender: str = "load@client.test",
    recipient: str = "sink@sink.test",
    reuse: bool = False,
    options: Sequence[str] = (),
    timeout_s: float = 300.0,
    host: str = "127.0.0.1",
) -> float:
    """Send ``messages`` and return the seconds it took; no size: the options say what is sent.

    Raises:
        RuntimeError: when the server refused one; smtp-source stops there.
    """
    command = [
        "smtp-source", "-C", "50", "-m", str(messages), "-s", str(min(sessions, messages)),
        *(["-l", str(size_bytes)] if size_bytes else []),
        "-f", sender, "-t", recipient, "-M", "client.test",
        *(["-d"] if reuse else []), *options, f"{host}:{port}",
    ]  # fmt: skip
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    took = time.monotonic() - begin
    if done.returncode != 0 or done.stderr.strip():
        raise RuntimeError(f"smtp-source: {done.stderr.decode('utf-8', 'replace').strip()[-2000:]}")
    return took
