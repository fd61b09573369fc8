"""A process tree with workers that only answer questions; run as a program by test_supervisor.

A worker takes one line a connection: ``who`` answers number, pid, uid and how often it reloaded,
``count`` counts one more and answers what all workers counted, ``crash`` kills the worker,
``exit N`` ends it. The plan may shorten how long the supervisor waits.
"""

import json
import os
import pwd
import select
import signal
import socket
import sys
from pathlib import Path

from postern.runtime import supervisor as module
from postern.runtime.activation import inherited_sockets
from postern.runtime.clock import SystemClock
from postern.runtime.listeners import CannotListenError, ListenAt
from postern.runtime.lock import AlreadyServedError, lock_data
from postern.runtime.logs import LogFormat, configure_logs
from postern.runtime.notify import Notifier
from postern.runtime.privileges import Account
from postern.runtime.processes import ConsoleSetup, WorkerSetup
from postern.runtime.supervisor import Supervisor, TreeSettings


class Answers:
    def __init__(self, folder: Path, plan: dict[str, object]) -> None:
        self._folder = folder
        self._plan = plan
        self._reloads = 0
        self._stopping = False

    def run_worker(self, setup: WorkerSetup) -> int:
        if self._plan.get("exit_at_start"):
            return int(str(self._plan["exit_at_start"]))
        wake_out, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in)
        signal.signal(signal.SIGHUP, self._hang_up)
        is_stubborn = bool(self._plan.get("stubborn"))
        signal.signal(signal.SIGTERM, (lambda *_: None) if is_stubborn else self._terminate)
        sockets = [sock for _, sock in setup.listeners]
        self._headcount = setup.headcount
        (self._folder / f"pid-{setup.number}").write_text(str(os.getpid()))
        setup.report_ready()
        while not self._stopping:
            readable = select.select([*(s.fileno() for s in sockets), wake_out], [], [])[0]
            if wake_out in readable:
                os.read(wake_out, 512)
            for sock in sockets:
                if sock.fileno() in readable:
                    self._answer(sock, setup.number)
        select.select([], [], [], float(str(self._plan.get("ends_late_s", 0))))
        return 0

    def run_console(self, setup: ConsoleSetup) -> int:
        if self._plan.get("console_breaks"):
            raise ModuleNotFoundError("No module named\n'uvicorn'")
        if self._plan.get("console_exits"):
            return int(str(self._plan["console_exits"]))
        if self._plan.get("console_hangs"):
            signal.pause()
        setup.report_ready()
        sock = setup.sockets[0]
        while True:
            select.select([sock], [], [])
            self._answer(sock, -1)

    def reload(self) -> str:
        self._reloads += 1
        return (self._folder / "refusal").read_text() if (self._folder / "refusal").exists() else ""

    def _answer(self, listener: socket.socket, number: int) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        with connection:
            connection.setblocking(True)
            word = connection.makefile().readline().split()
            match word:
                case ["who"]:
                    text = f"{number} {os.getpid()} {os.getuid()} {self._reloads}\n"
                    connection.sendall(text.encode())
                case ["count"]:
                    _, count = self._headcount.change(number, "192.0.2.1", 1)
                    connection.sendall(f"{count}\n".encode())
                case ["crash"]:
                    os.kill(os.getpid(), signal.SIGKILL)
                case ["exit", code]:
                    os._exit(int(code))
                case _:
                    pass

    def _hang_up(self, *_: object) -> None:
        self._reloads += 1

    def _terminate(self, *_: object) -> None:
        self._stopping = True


def main() -> int:
    folder = Path(sys.argv[1])
    plan = json.loads((folder / "plan.json").read_text())
    run_dir = folder / "run"
    run_dir.mkdir(exist_ok=True)
    try:
        lock_data(folder)
    except AlreadyServedError as error:
        print(error, file=sys.stderr)
        return 75
    module.CONSOLE_PATIENCE_S = float(plan.get("console_patience_s", module.CONSOLE_PATIENCE_S))
    module.STOP_SLACK_S = float(plan.get("stop_slack_s", module.STOP_SLACK_S))
    configure_logs(level="info", style=LogFormat.PLAIN, process="supervisor", clock=SystemClock())
    places = [ListenAt("127.0.0.1", int(plan.get("port", 0)), None, "listener[1].bind")]
    if plan.get("unix"):
        places.append(ListenAt(path=run_dir / "submit.sock"))
    name = plan.get("user")
    entry = pwd.getpwnam(name) if name else None
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry else None
    settings = TreeSettings(
        run_dir=run_dir,
        listeners=tuple(places),
        console=ListenAt("127.0.0.1", 0, None, "console.bind") if plan.get("console") else None,
        workers=int(plan.get("workers", 2)),
        account=account,
        stop_grace_s=float(plan.get("stop_grace_s", 5.0)),
    )
    supervisor = Supervisor(settings, Answers(folder, plan), SystemClock(), Notifier())
    try:
        supervisor.bind(inherited_sockets())
    except CannotListenError as error:
        print(error, file=sys.stderr)
        return 75
    ports = [b.socket.getsockname()[1] for b in supervisor._bound if b.at.path is None]
    (folder / "ports.json").write_text(json.dumps([*ports, supervisor.console_port]))
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
