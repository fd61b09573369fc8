"""Keeps the process tree: binds, forks, restarts what crashed, reloads, and stops all of it.

The supervisor is one thread that touches no mail. It binds every socket before the first fork and
keeps them, so that no connection is refused while a worker that crashed is started again. Workers
die with it, however it ends. Signals: SIGTERM and SIGINT stop, SIGHUP reloads.
"""

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from postern.runtime.activation import close_unwanted
from postern.runtime.child import Child
from postern.runtime.clock import Clock
from postern.runtime.forking import Birth, Started, fork_child, how_it_ended
from postern.runtime.headcount import Headcount
from postern.runtime.listeners import Bound, ListenAt, bind_all
from postern.runtime.notify import Notifier
from postern.runtime.orphans import Orphans, ended_children
from postern.runtime.privileges import Account
from postern.runtime.processes import ConsoleSetup, WorkerSetup, status_path
from postern.runtime.ratetable import RateTable

STOP_SLACK_S = 4.0
"""On top of stop_grace_s, for a worker that used all of it to write down what it could not end."""

CONSOLE_PATIENCE_S = 5.0
"""How long "ready" waits for the console once all workers are; mail does not need one."""

CONSOLE = "console"

HOPELESS = frozenset({73, 77, 78})
"""Exit codes (sysexits) that starting again does not mend: cannot create, no permission, config."""

READY_LINE = b"postern: ready\n"


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """What the tree looks like; ``console`` is None when there is none (tests)."""

    run_dir: Path
    listeners: tuple[ListenAt, ...]
    console: ListenAt | None
    workers: int
    account: Account | None
    stop_grace_s: float


class Program(Protocol):
    """What runs in the tree."""

    def run_worker(self, setup: WorkerSetup) -> int:
        """Serve until SIGTERM, in a process of its own; returns the exit code."""
        ...

    def run_console(self, setup: ConsoleSetup) -> int:
        """Serve HTTP until SIGTERM, in a process of its own; returns the exit code."""
        ...

    def reload(self) -> str:
        """Read the configuration again, for children started from now on.

        Returns:
            Nothing when it is taken; else why not, and the old one stays.
        """
        ...


class Supervisor:
    """Runs the tree from the first bind to the last child's end; used once."""

    def __init__(
        self, settings: TreeSettings, program: Program, clock: Clock, notifier: Notifier
    ) -> None:
        self._settings = settings
        self._program = program
        self._clock = clock
        self._notifier = notifier
        self._log = structlog.get_logger()
        self._orphans = Orphans(settings.account)
        self._selector = selectors.DefaultSelector()
        self._bound: list[Bound] = []
        self._headcount = Headcount(settings.workers)
        self._rates = RateTable()
        self._console_bound: list[Bound] = []
        self._children: list[Child] = []
        self._signals: set[int] = set()
        self._wakeup: tuple[int, int] = (-1, -1)
        self._announced = False
        self._console_deadline: float | None = None
        self._stop_deadline: float | None = None
        self._exit_code = 0
        self._next_alive: float | None = None
        self._has_terminal = os.isatty(2)

    def run(self) -> int:
        """Serve until told to stop; returns the exit code. Call ``bind`` before."""
        self._catch_signals()
        self._orphans.adopt()
        self._children = [
            Child(f"worker-{n}", partial(self._start_worker, n))
            for n in range(self._settings.workers)
        ]
        if self._settings.console is not None:
            self._children.append(Child(CONSOLE, self._start_console))
        self._next_alive = self._clock.monotonic()
        try:
            while not self._is_over():
                self._turn()
        finally:
            self._kill_rest()
            self._orphans.end()
            self._close_listeners()
            self._release_signals()
        return self._exit_code

    def bind(self, given: Sequence[socket.socket] = ()) -> None:
        """Bind every port that no socket was given for.

        Raises:
            CannotListenError: a port cannot be had; none is kept.
        """
        self._bound = bind_all(self._settings.listeners, given)
        if self._settings.console is not None:
            try:
                self._console_bound = bind_all([self._settings.console], given)
            except BaseException:
                self._close_listeners()
                raise
        close_unwanted(given, {bound.socket for bound in (*self._bound, *self._console_bound)})

    @property
    def console_port(self) -> int:
        """The port the console really has, once bound; 0 without a console."""
        bound = self._console_bound
        return int(bound[0].socket.getsockname()[1]) if bound else 0

    # --- the loop ------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for something to happen or to be due, then do all that is to be done."""
        self._start_due()
        for key, _ in self._selector.select(self._patience()):
            ready: Callable[[], None] = key.data
            ready()
        ended = dict(ended_children())
        # A stop comes first: a worker that ended because of the same signal has not crashed.
        self._read_signals()
        signals, self._signals = self._signals, set()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._stop(is_impatient=signal.SIGINT in signals)
        if signal.SIGHUP in signals:
            self._hang_up()
        self._reap(ended)
        now = self._clock.monotonic()
        if self._stop_deadline is not None and now >= self._stop_deadline:
            self._kill_rest()
        if self._console_deadline is not None and now >= self._console_deadline:
            self._announce()
        self._feed_watchdog(now)

    def _patience(self) -> float | None:
        """Seconds until the next thing is due; None waits for an event."""
        due = [c.restart_at for c in self._children if c.restart_at is not None]
        others = (self._stop_deadline, self._next_alive, self._console_deadline)
        due += [at for at in others if at is not None]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _is_over(self) -> bool:
        return self._stop_deadline is not None and not any(c.pid for c in self._children)

    def _feed_watchdog(self, now: float) -> None:
        interval = self._notifier.watchdog_interval_s
        if interval is None:
            self._next_alive = None
        elif self._next_alive is not None and now >= self._next_alive:
            self._notifier.alive()
            self._next_alive = now + interval

    # --- signals -------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = (out, into)
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(out, selectors.EVENT_READ, self._read_signals)

    def _read_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while numbers := os.read(self._wakeup[0], 4096):
                self._signals.update(numbers)

    def _release_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for descriptor in self._wakeup:
            os.close(descriptor)

    # --- children ------------------------------------------------------------------------------

    def _start_worker(self, number: int) -> Started:
        self._headcount.clear(number)  # what its predecessor had open has ended with it
        self._orphans.expect()  # and what it was just starting then is there now

        def body(ready_fd: int) -> int:
            sockets = tuple((index, bound.socket) for index, bound in enumerate(self._bound))
            path, workers = status_path(self._settings.run_dir, number), self._settings.workers
            return self._program.run_worker(
                WorkerSetup(number, workers, sockets, path, ready_fd, self._headcount, self._rates)
            )

        shed = partial(self._shed, self._console_bound)
        return fork_child(Birth(body, shed, self._settings.account))

    def _start_console(self) -> Started:
        sockets = tuple(bound.socket for bound in self._console_bound)

        def body(ready_fd: int) -> int:
            settings = self._settings
            return self._program.run_console(
                ConsoleSetup(sockets, settings.run_dir, settings.workers, ready_fd)
            )

        return fork_child(Birth(body, partial(self._shed, self._bound), self._settings.account))

    def _shed(self, foreign: Iterable[Bound]) -> None:
        """In a child: close what belongs to the supervisor and to the other children.

        The lock on the data folder stays open on purpose (see ``postern.runtime.lock``).
        """
        self._selector.close()
        for descriptor in (*self._wakeup, *(c.ready_fd for c in self._children)):
            if descriptor >= 0:
                os.close(descriptor)
        for bound in foreign:
            bound.socket.close()

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for child in self._children:
            if child.restart_at is None or child.restart_at > now:
                continue
            child.restart_at = None
            try:
                started = child.start()
            except OSError as error:  # EAGAIN: the limit of processes is reached
                self._log.error(f"cannot start {child.name}: {error.strerror}")
                child.restart_later(now)
                continue
            child.pid, child.ready_fd = started.pid, started.ready_fd
            child.is_ready = child.is_replaced = child.missed_reload = False
            child.started_at = now
            self._selector.register(
                started.ready_fd, selectors.EVENT_READ, partial(self._hear, child)
            )

    def _hear(self, child: Child) -> None:
        """A child says that it is ready, or its pipe closed because it ended."""
        try:
            said = os.read(child.ready_fd, 16)
        except BlockingIOError:
            return
        self._forget_pipe(child)
        if not said:
            return
        child.is_ready = True
        if child.missed_reload:
            child.tell(signal.SIGHUP)
        self._consider_ready()

    def _consider_ready(self) -> None:
        """Ready is when all workers are; a console that comes up soon is waited for."""
        if self._announced or self._stop_deadline is not None:
            return
        if not all(c.is_ready for c in self._children if c.name != CONSOLE):
            return
        if all(c.is_ready for c in self._children):
            self._announce()
        elif self._console_deadline is None:
            self._console_deadline = self._clock.monotonic() + CONSOLE_PATIENCE_S

    def _announce(self) -> None:
        """Tell, once, that mail is served; and that the console is not, if so."""
        self._console_deadline = None
        self._announced = True
        if not all(c.is_ready for c in self._children):
            self._log.error("the console does not start; mail is served without it")
        os.write(2, READY_LINE)
        self._notifier.ready(self._state())

    def _state(self) -> str:
        """How we are, in one sentence for the service manager."""
        text = f"serving with {self._settings.workers} workers"
        is_whole = all(c.is_ready or c.is_replaced for c in self._children if c.name == CONSOLE)
        return text if is_whole else f"{text}; the console does not start"

    def _forget_pipe(self, child: Child) -> None:
        if child.ready_fd >= 0:
            self._selector.unregister(child.ready_fd)
            os.close(child.ready_fd)
            child.ready_fd = -1

    def _reap(self, ended: Mapping[int, int]) -> None:
        """Children that ended; one that nobody asked to end is started again."""
        for child in self._children:
            if child.pid in ended:
                self._ended(child, ended[child.pid])
        self._orphans.kill({child.pid for child in self._children})

    def _ended(self, child: Child, code: int) -> None:
        pid, child.pid = child.pid, 0
        self._orphans.expect()
        self._forget_pipe(child)
        if self._stop_deadline is not None:
            return
        if child.is_replaced:
            child.restart_at = self._clock.monotonic()
            return
        child.is_ready = False
        if not self._announced and code in HOPELESS and child.name != CONSOLE:
            self._log.error(f"{child.name} cannot start (exit {code})")
            self._exit_code = code
            self._stop(is_impatient=False)
            return
        delay_s = child.restart_later(self._clock.monotonic())
        self._log.error(
            f"{child.name} (pid {pid}) {how_it_ended(code)}; starting it again in {delay_s:g} s"
        )

    # --- reload and stop -----------------------------------------------------------------------

    def _hang_up(self) -> None:
        """SIGHUP: reload, or stop when it came because our terminal was closed."""
        if self._has_terminal and not os.isatty(2):
            self._stop(is_impatient=False)
        elif self._stop_deadline is None:
            self._reload()

    def _reload(self) -> None:
        """Take up the new configuration; workers reload, the console is replaced.

        The console's connections wait in its socket's queue between the old and the new process.
        """
        self._notifier.reloading()
        refusal = self._program.reload()
        if refusal:
            self._log.error("the new configuration is not taken, the old one stays", why=refusal)
        else:
            self._log.info("configuration reloaded")
            for child in self._children:
                if child.name == CONSOLE:
                    child.is_replaced = bool(child.pid)
                    child.tell(signal.SIGTERM)
                elif child.is_ready:
                    child.tell(signal.SIGHUP)
                else:
                    child.missed_reload = True
        self._notifier.ready(self._state())

    def _stop(self, *, is_impatient: bool) -> None:
        """Ask all children to finish; a second SIGINT does not wait for them."""
        if self._stop_deadline is not None:
            if is_impatient:
                self._stop_deadline = self._clock.monotonic()
            return
        self._stop_deadline = self._clock.monotonic() + self._settings.stop_grace_s + STOP_SLACK_S
        self._console_deadline = None
        self._notifier.stopping()
        self._close_listeners()
        for child in self._children:
            child.restart_at = None
            child.tell(signal.SIGTERM)

    def _close_listeners(self) -> None:
        """From now on new connections are refused, once the workers have closed theirs too."""
        for bound in (*self._bound, *self._console_bound):
            bound.close()

    def _kill_rest(self) -> None:
        """SIGKILL whoever is left, and fetch them."""
        for child in self._children:
            if child.pid:
                self._log.warning(f"{child.name} (pid {child.pid}) did not stop in time: killed")
                child.tell(signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)
                child.pid = 0
