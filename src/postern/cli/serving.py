"""Brings the rooms, the configuration and the process tree together, and serves.

All rooms are imported here, before the first fork: workers then share this memory, and a worker
that crashed is back without reading a single module from the disk.
"""

import json
import os
import sys
from collections.abc import Iterator

import structlog

from postern.app.worker import run_worker
from postern.cli.doctor import site_of
from postern.config.fixed import keep_fixed
from postern.config.load import check, load
from postern.config.problems import ConfigError
from postern.config.settings import Config
from postern.console.metrics import Sample
from postern.console.paths import path_samples
from postern.console.server import ConsoleSettings, serve_console
from postern.diagnosis.doctor_certificates import expiries
from postern.policy.scanners.command import clear_up
from postern.runtime.activation import inherited_sockets
from postern.runtime.clock import SystemClock
from postern.runtime.folders import make_data_folders
from postern.runtime.limits import raise_open_files
from postern.runtime.listeners import CannotListenError, ListenAt
from postern.runtime.lock import AlreadyServedError, lock_data
from postern.runtime.logs import choose_format, configure_logs
from postern.runtime.notify import Notifier
from postern.runtime.privileges import find_account
from postern.runtime.processes import ConsoleSetup, WorkerSetup, worker_count
from postern.runtime.supervisor import Supervisor, TreeSettings

EX_CANTCREAT = 73
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78

CONSOLE_FILE = "console.json"


def serve_until_stopped() -> int:
    """Read the configuration and serve with it; returns the exit code."""
    checked = check()
    for problem in checked.problems:
        sys.stderr.write(f"{problem}\n")
    if checked.config is None:
        return refuse("the configuration cannot be used", EX_CONFIG)
    config = checked.config
    try:
        return run(config)
    except OSError as error:
        return refuse(f"{error.filename or config.data_dir}: {error.strerror}", EX_CANTCREAT)


def run(config: Config) -> int:
    """Serve with this configuration; returns the exit code.

    Raises:
        OSError: the data folder cannot be made or written to.
    """
    refusal = why_not_become(config)
    if refusal:
        return refuse(refusal, EX_NOPERM)
    prepare_folders(config)
    try:
        lock_data(config.data_dir)
    except AlreadyServedError as error:
        return refuse(str(error), EX_TEMPFAIL)
    set_up_logs(config, "supervisor")
    end_what_was_left(config)
    raise_open_files()
    supervisor = Supervisor(tree_of(config), Server(config), SystemClock(), Notifier())
    try:
        supervisor.bind(inherited_sockets())
    except CannotListenError as error:
        return refuse(str(error), EX_TEMPFAIL)
    write_addresses(config, supervisor.console_port)
    return supervisor.run()


def end_what_was_left(config: Config) -> None:
    """Kill scanners that a server before us left when it was killed, and remove their copies."""
    account = find_account(config.user) if config.user else None
    killed = clear_up(config.run_dir, os.getuid() if account is None else account.uid)
    if killed:
        structlog.get_logger().warning("scanners of an earlier server killed", pids=killed)


def write_addresses(config: Config, console_port: int) -> None:
    """Forget what earlier processes reported, and tell where the console listens.

    Raises:
        OSError: the folder cannot be written to.
    """
    for stale in config.run_dir.glob("worker-*.json"):
        stale.unlink(missing_ok=True)
    address = {"pid": os.getpid(), "bind": str(config.console.bind), "port": console_port}
    (config.run_dir / CONSOLE_FILE).write_text(f"{json.dumps(address)}\n", encoding="ascii")


def refuse(sentence: str, code: int) -> int:
    """Say on stderr why the server does not start."""
    sys.stderr.write(f"postern: {sentence}\n")
    return code


class Server:
    """What runs in the tree, with the configuration that was read last."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def run_worker(self, setup: WorkerSetup) -> int:
        """Receive and deliver mail until SIGTERM."""
        set_up_logs(self._config, f"worker-{setup.number}")
        return run_worker(self._config, setup)

    def run_console(self, setup: ConsoleSetup) -> int:
        """Serve metrics and health until SIGTERM."""
        set_up_logs(self._config, "console")
        return run_console(self._config, setup)

    def reload(self) -> str:
        """Take up the configuration file as it is now, if it can be used."""
        try:
            fresh = load(self._config.source)
        except ConfigError as error:
            return str(error)
        self._config, waiting = keep_fixed(self._config, fresh)
        set_up_logs(self._config, "supervisor")
        if waiting:
            structlog.get_logger().warning(
                "these settings are only taken up by a restart", settings=", ".join(waiting)
            )
        return ""


def run_console(config: Config, setup: ConsoleSetup) -> int:
    """The console's own process."""
    certificates = site_of(config).certificates
    clock = SystemClock()

    def samples() -> Iterator[Sample]:
        for path, at in expiries(certificates):
            name = "postern_certificate_expiry_timestamp_seconds"
            yield Sample(name, (("certificate", path),), at)
        yield from path_samples(config.data_dir, clock.now())

    settings = ConsoleSettings(
        run_dir=setup.run_dir,
        workers=setup.workers,
        stop_grace_s=config.stop_grace_s,
        extra=samples,
    )
    return serve_console(settings, setup, clock)


def set_up_logs(config: Config, process: str) -> None:
    """Log lines of this process, as ``[log]`` says."""
    configure_logs(
        level=config.log.level,
        style=choose_format(config.log.format),
        process=process,
        clock=SystemClock(),
    )


def tree_of(config: Config) -> TreeSettings:
    """The shape of the process tree that the configuration asks for."""
    return TreeSettings(
        run_dir=config.run_dir,
        listeners=tuple(
            ListenAt(item.bind.host, item.bind.port, item.bind.path, f"listener[{n + 1}].bind")
            for n, item in enumerate(config.listeners)
        ),
        console=ListenAt(config.console.bind.host, config.console.bind.port, None, "console.bind"),
        workers=worker_count(config.workers),
        account=find_account(config.user) if config.user else None,
        stop_grace_s=config.stop_grace_s,
    )


def why_not_become(config: Config) -> str:
    """Why we cannot become ``user``; nothing when we can, or need not."""
    account = find_account(config.user) if config.user else None
    if account is None or os.geteuid() in {0, account.uid}:
        return ""
    return f"only root can become {config.user!r}: start as root, or as {config.user}"


def prepare_folders(config: Config) -> None:
    """Make the data folder and its ``run``, owned by the user that will write there.

    Others may pass through to the socket of ``sendmail``, and see nothing else on the way.

    Raises:
        OSError: they cannot be made.
    """
    account = find_account(config.user) if config.user else None
    has_socket = any(listener.bind.path is not None for listener in config.listeners)
    make_data_folders(config.data_dir, config.run_dir, account, has_socket=has_socket)
