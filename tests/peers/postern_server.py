"""A real ``postern serve`` under a temporary folder, and its command line.

Every listener is given port 0; the ports are read from ``<data_dir>/run/worker-0.json`` once the
line ``postern: ready`` is on stderr.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.certificates import KeyPair
from tests.peers.process import Server, short_folder, wait_until
from tests.peers.proctree import tree, wait_gone
from tests.peers.warm import CommandResult, Forked, Request, nursery, run_warm

from postern.runtime.processes import WorkerStatus, read_status, status_path

READY = "postern: ready"
COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Listening:
    """A ``[[listener]]``; ``extra`` are further lines of its table."""

    kind: str = "mx"
    bind: str = "127.0.0.1:0"
    extra: str = ""


@dataclass(frozen=True, slots=True)
class PosternSettings:
    """What one Postern is to be.

    ``wrapper`` are words in front of the server's own command, such as another program that becomes
    it. ``is_fresh`` starts the server in an interpreter of its own, where others are forked from
    one that has imported Postern (``warm.py``). ``tables`` are whole TOML tables by their header
    line without brackets (``"queue"``, ``"[egress]"`` for an array's item), each with its lines.
    ``top`` are lines of the root table.
    """

    hostname: str = "mx.postern.test"
    workers: int = 1
    listeners: tuple[Listening, ...] = (Listening(),)
    certificate: KeyPair | None = None
    resolver: str = ""
    top: str = ""
    tables: Sequence[tuple[str, str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    wrapper: Sequence[str] = ()
    is_fresh: bool = False


class CommandError(AssertionError):
    """A command ended with another exit code than hoped for."""


@dataclass
class PosternServer:
    """One Postern on disk, running or not."""

    folder: Path
    settings: PosternSettings
    server: Server | None = None
    starts: int = 0

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "postern.toml"

    @property
    def data(self) -> Path:
        """The ``data_dir``."""
        return self.folder / "data"

    def write_config(self, settings: PosternSettings | None = None) -> None:
        """Write ``postern.toml`` from the settings (or from others, kept from now on)."""
        self.settings = settings or self.settings
        self.config.write_text(toml(self.settings), encoding="utf-8")

    # --- the process -------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the process without waiting for it to be ready."""
        assert self.server is None, "already running"
        self.starts += 1
        arguments = ["--config", str(self.config), "serve"]
        is_warm = nursery.is_open and not (self.settings.wrapper or self.settings.is_fresh)
        self.server = Server(
            f"postern {self.settings.hostname}",
            arguments if is_warm else [*self.settings.wrapper, *postern_command(), *arguments],
            self.folder / f"postern-{self.starts}.log",
            environment=dict(self.settings.environment),
            starter=start_warm if is_warm else None,
        ).start()

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Return once it says that it is ready and its status can be read."""
        server = self._running()
        wait_until(
            lambda: READY in server.log_text(), f"{READY!r}", server=server, within_s=within_s
        )
        wait_until(
            lambda: self._fresh_status() is not None, "worker-0.json", server=server, within_s=10
        )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def stop(self) -> float:
        """SIGTERM; assert exit 0 and that no child is left behind. Returns the seconds it took."""
        server = self._running()
        children = self.children()
        begin = time.monotonic()
        code = server.stop()
        took = time.monotonic() - begin
        self.server = None
        assert code == 0, f"exit {code} at SIGTERM\n{server.log_tail()}"
        left = wait_gone(children)
        assert not left, f"left behind: {left}\n{server.log_tail()}"
        return took

    def kill(self) -> None:
        """SIGKILL to the whole process group, as a power cut would."""
        server = self._running()
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(server.pid, signal.SIGKILL)
        server.stop()
        self.server = None

    def kill_worker(self, number: int = 0) -> None:
        """SIGKILL to one worker."""
        os.kill(self.status(number).pid, signal.SIGKILL)

    def reload(self) -> None:
        """SIGHUP to the supervisor."""
        os.kill(self._running().pid, signal.SIGHUP)

    def children(self) -> list[int]:
        """The ids of all processes below the supervisor."""
        return [stat.pid for stat in tree(self._running().pid)[1:]]

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._running().pid

    def log(self) -> str:
        """Everything it wrote to stderr since its last start."""
        return self._running().log_text()

    def _running(self) -> Server:
        assert self.server is not None, "not running"
        return self.server

    # --- where it listens --------------------------------------------------------------------

    def status(self, number: int = 0) -> WorkerStatus:
        """What a worker says about itself."""
        found = read_status(status_path(self.data / "run", number))
        assert found is not None, f"no status of worker {number}"
        return found

    def _fresh_status(self) -> WorkerStatus | None:
        """The status if it was written by a process of this tree, not by one before a crash."""
        found = read_status(status_path(self.data / "run", 0))
        alive = {self.pid, *self.children()}
        return found if found is not None and found.pid in alive and found.ports else None

    def port(self, kind: str = "mx", nth: int = 0) -> int:
        """The port of the nth listener of a kind; ``"console"`` is found in the same place."""
        ports = [port.port for port in self.status().ports if port.kind == kind]
        assert len(ports) > nth, f"no {kind} listener among {self.status().ports}"
        return ports[nth]

    # --- the command line --------------------------------------------------------------------

    def run(self, *arguments: str, stdin: str = "") -> CommandResult:
        """Run a command, whatever its exit code."""
        return run_postern("--config", str(self.config), *arguments, stdin=stdin)

    def cli(self, *arguments: str, stdin: str = "", codes: Sequence[int] = (0,)) -> str:
        """Run a command that must end with one of ``codes``; returns its output."""
        result = self.run(*arguments, stdin=stdin)
        if result.exit_code not in codes:
            raise CommandError(
                f"postern {' '.join(arguments)}: exit {result.exit_code}\n"
                f"{result.stdout}{result.stderr}"
            )
        return result.stdout

    def cli_json(
        self, *arguments: str, stdin: str = "", codes: Sequence[int] = (0, 1, 2)
    ) -> "dict[str, object]":
        """The object a command prints with ``--json``; problems found (1, 2) are no failure."""
        text = self.cli(*arguments, "--json", stdin=stdin, codes=codes)
        found = json.loads(text)
        assert isinstance(found, dict), text
        return found

    def domain_add(self, domain: str, *, to: str = "") -> None:
        """Serve a domain; ``to`` (``host:port``) makes it a gateway domain."""
        self.cli("domain", "add", domain, *(["--to", to] if to else []))

    def mailbox_add(self, address: str, password: str = "", *, quota: str = "") -> None:
        """Add a mailbox; without a password it cannot log in with anything guessable."""
        options = ["--quota", quota] if quota else []
        secret = password or os.urandom(12).hex()
        self.cli("mailbox", "add", address, "--password-stdin", *options, stdin=f"{secret}\n")

    def alias_add(self, address: str, *targets: str) -> None:
        """Add an alias."""
        self.cli("alias", "add", address, *targets)

    # --- what it delivered -------------------------------------------------------------------

    def maildir(self, address: str) -> Path:
        """The Maildir of an address."""
        local, _, domain = address.rpartition("@")
        return self.data / "mail" / domain / local / "Maildir"

    def messages(self, address: str) -> list[bytes]:
        """The messages delivered to an address and not yet read, oldest first."""
        new = self.maildir(address) / "new"
        if not new.exists():
            return []
        files = sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes() for path in files]

    def wait_for_messages(
        self, address: str, count: int = 1, *, within_s: float = 30.0
    ) -> list[bytes]:
        """Those messages, once there are at least ``count``."""
        wait_until(
            lambda: len(self.messages(address)) >= count,
            f"{count} messages to {address}",
            server=self.server,
            within_s=within_s,
        )
        return self.messages(address)

    def waiting(self) -> int:
        """Deliveries that are not finished, as ``postern queue`` counts them."""
        found = self.cli_json("queue")["waiting"]
        assert isinstance(found, int)
        return found


@contextmanager
def postern(
    settings: PosternSettings | None = None, *, start: bool = True
) -> Iterator[PosternServer]:
    """Lay out a Postern in a folder of its own, start it, and stop it cleanly afterwards.

    A test that fails leaves by an exception: then the process group is only killed, so that the
    failure shown is the test's own.
    """
    with short_folder() as folder:
        running = PosternServer(folder, settings or PosternSettings())
        running.write_config()
        try:
            if start:
                running.start()
            yield running
        except BaseException as error:
            if running.server is not None:
                error.add_note(running.server.log_tail())
                running.kill()
            raise
        if running.server is not None:
            running.stop()


def run_postern(*arguments: str, stdin: str = "") -> CommandResult:
    """``postern`` with these arguments, to its end."""
    if nursery.is_open:
        request = Request("postern", arguments, os.environ, str(Path.cwd()))
        return run_warm(request, stdin=stdin, timeout_s=COMMAND_S)
    done = subprocess.run(
        [*postern_command(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def start_warm(arguments: Sequence[str], environment: Mapping[str, str], output: int) -> Forked:
    """Start ``postern`` in a process that has imported it already."""
    with Path(os.devnull).open("rb") as nothing:
        request = Request("postern", arguments, environment, str(Path.cwd()))
        return nursery.fork(request, nothing.fileno(), output, output)


def postern_command() -> list[str]:
    """How the installed ``postern`` is called: the same Python as the tests."""
    return [sys.executable, "-m", "postern"]


def toml(settings: PosternSettings) -> str:
    """The text of ``postern.toml``."""
    parts = [
        f'hostname = "{settings.hostname}"',
        'data_dir = "data"',
        f"workers = {settings.workers}",
        settings.top,
    ]
    for listener in settings.listeners:
        parts.append(f'[[listener]]\nkind = "{listener.kind}"\nbind = "{listener.bind}"')
        parts.append(listener.extra)
    if settings.certificate:
        parts.append(
            f'[[certificate]]\ncert = "{settings.certificate.cert}"\n'
            f'key = "{settings.certificate.key}"'
        )
    if settings.resolver:
        parts.append(f'[[resolver]]\nname = "home"\nservers = ["{settings.resolver}"]')
    if not any(header == "console" for header, _ in settings.tables):
        parts.append('[console]\nbind = "127.0.0.1:0"')
    parts += [f"[{header}]\n{lines}" for header, lines in settings.tables]
    return "\n".join(part for part in parts if part) + "\n"
