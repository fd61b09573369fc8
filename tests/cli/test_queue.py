import json
import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.spool.mail import settings, waiting

import postern
from postern.cli import workers
from postern.cli.root import postern_main
from postern.cli.when import moment, span
from postern.queue.request import Action, Answer, Request, Tally
from postern.queue.store.requests import RequestStore
from postern.runtime.clock import SystemClock
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
from postern.runtime.lock import lock_data
from postern.runtime.processes import (
    GroupStatus,
    LaneStatus,
    WorkerStatus,
    read_statuses,
    status_path,
    write_status,
)
from postern.spool.body import BodyFolder
from postern.spool.store.file import SpoolFile

SOURCE = Path(postern.__file__).parents[1]
DEADLINE_S = 30.0
TEXT = """
hostname = "mx.postern.test"
workers = 1
stop_grace_s = 1
[[listener]]
kind = "mx"
bind = "127.0.0.1:0"
relay_from = ["127.0.0.0/8"]
[[resolver]]
name = "home"
servers = ["127.0.0.1:1"]
timeout_s = 0.2
[console]
bind = "127.0.0.1:0"
"""

Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "postern.toml").write_text(TEXT)
    (tmp_path / "data" / "run").mkdir(parents=True)
    monkeypatch.setenv("POSTERN_CONFIG", str(tmp_path / "postern.toml"))
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Path]:
    """The data is held by a server with one worker; nobody answers yet."""
    data_dir = folder / "data"
    lock = lock_data(data_dir)
    write_status(
        status_path(data_dir / "run", 0), WorkerStatus(1, 0, 0.0, SystemClock().now(), (), 31, 60)
    )
    yield data_dir
    os.close(lock)


class Worker(threading.Thread):
    """Answers every request with ``tally``, and keeps what was asked."""

    def __init__(self, data_dir: Path, tally: Tally) -> None:
        super().__init__(daemon=True)
        self._database = Database.open(data_dir / "site.db")
        migrate(self._database)
        self._store = RequestStore(self._database)
        self._tally = tally
        self._ending = threading.Event()
        self.asked: list[Request] = []

    def run(self) -> None:
        while not self._ending.wait(0.01):
            for request in self._store.unanswered(0, 0.0):
                self.asked.append(request)
                self._store.answer(Answer(request.id, 0, request.created_at, self._tally))

    def close(self) -> None:
        self._ending.set()
        self.join(DEADLINE_S)
        self._database.close()


@pytest.fixture
def worker(served: Path) -> Iterator[Worker]:
    worker = Worker(served, Tally(3, is_done=True))
    worker.start()
    yield worker
    worker.close()


def put(folder: Path, hours: float, *, group: str = "mx.test", count: int = 1) -> None:
    """Mail that has waited for some hours, in the spool's file."""
    now = SystemClock().now()
    where = settings(folder / "data").folder
    where.mkdir(exist_ok=True)
    spool = SpoolFile(where / "0.db", BodyFolder(where / "0"))
    made = [waiting(n, now + 600.0, group) for n in range(1, count + 1)]
    for message in made:
        message.accepted_at = now - hours * 3600.0
        message.expires_at = now + 86_400.0 * 4
        message.deliveries[0].cause = "no-answer"
        message.deliveries[0].last_reply = "451 4.4.1 no answer"
    with spool.transaction():
        spool.insert(made)
    spool.close()


def test_empty_queue_is_fine_while_nothing_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern_main(["queue"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Nothing waits.")
    assert "server not running" in out


@pytest.mark.parametrize(("hours", "code"), [(0.5, 0), (2.0, 1), (5.2, 2)])
def test_exit_code_tells_how_long_mail_waits(folder: Path, hours: float, code: int) -> None:
    put(folder, hours)
    assert postern_main(["queue"]) == code


def test_json_is_what_scripts_rely_on(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(served.parent, 0.1, count=24)
    assert postern_main(["queue", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["waiting"]) == (1, 24)
    assert told["slots"] == {"used": 31, "all": 60, "lanes": {}}
    assert told["oldest_s"] == pytest.approx(360, abs=30)
    (cause,) = told["causes"]
    assert set(cause) == {"cause", "mx_group", "count", "since", "next_at", "gives_up_at", "group"}
    assert cause["group"] is None
    assert (cause["cause"], cause["mx_group"], cause["count"]) == (
        "mx.test: no answer",
        "mx.test",
        24,
    )
    assert cause["since"].endswith("+00:00")


def test_text_has_a_line_a_cause_and_what_to_do_next(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(served.parent, 5.2, count=2)
    postern_main(["queue"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("2 waiting, oldest 5 h 12 min, 1 cause ")
    assert out[0].endswith("slots 31/60")
    assert out[2].split()[:4] == ["2", "mx.test:", "no", "answer"]
    assert "postern queue mx.test" in out[-1]


def standing(condition: str, **fields: object) -> GroupStatus:
    """How a worker tells of the group ``mx.test``."""
    since = SystemClock().now() - 600.0
    plain = GroupStatus("mx.test", condition, since, used=2, most=2, busy=2)
    return msgspec.structs.replace(plain, **fields)


def stand(served: Path, *groups: GroupStatus) -> None:
    """One worker's status with these groups."""
    lanes = (LaneStatus("fast", 25, 30), LaneStatus("slow", 6, 30))
    now = SystemClock().now()
    status = WorkerStatus(1, 0, 0.0, now, (), 31, 60, lanes=lanes, groups=groups)
    write_status(status_path(served / "run", 0), status)


HELD_BACK: dict[str, tuple[dict[str, object], str]] = {
    "capped": ({"used": 15, "most": 15}, "15 of 15 slots (cap reached; others not affected)"),
    "slow": ({"slow_used": 2}, "2 of 2 slots in the slow lane (cap reached; others not affected)"),
    "shut": ({}, "one message at a time is tried, to see"),
    "draining": ({"because": "60/min"}, "what waited goes at 60/min and faster"),
    "suspended": (
        {"because": "ticket 812", "label": "Q1"},
        "suspended until it is resumed (Q1): ticket 812",
    ),
}


@pytest.mark.parametrize("condition", HELD_BACK)
def test_what_holds_a_group_is_told_below_its_cause(
    served: Path, capsys: pytest.CaptureFixture[str], condition: str
) -> None:
    fields, words = HELD_BACK[condition]
    put(served.parent, 0.1)
    stand(served, standing(condition, **fields))
    postern_main(["queue"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("slots 31/60, 6 of them slow")
    assert out[3].startswith("         ")
    assert words in out[3]
    postern_main(["queue", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["slots"]["lanes"]["slow"] == {"used": 6, "all": 30}
    (cause,) = told["causes"]
    assert cause["group"]["condition"] == condition
    assert cause["group"]["temporary"] == ("Q1" if condition == "suspended" else None)


def test_nothing_is_promised_before_a_suspension_ends(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(served.parent, 0.1)
    ends_at = SystemClock().now() + 7200.0
    stand(served, standing("suspended", until=ends_at, because="too much mail: 421"))
    postern_main(["queue"])
    assert f"suspended until {moment(ends_at, ends_at)}: too much" in capsys.readouterr().out
    postern_main(["queue", "--json"])
    (cause,) = json.loads(capsys.readouterr().out)["causes"]
    assert datetime.fromisoformat(cause["next_at"]).timestamp() == pytest.approx(ends_at, abs=0.01)


def test_group_is_suspended_whether_the_server_runs_or_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, 0.1, count=3)
    words = ["queue", "suspend", "--group", "MX.test", "--for", "2h", "--reason", "they asked us"]
    assert postern_main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("Suspended Q1: nothing of mx.test is tried until ")
    assert "3 wait now" in out
    assert "postern queue resume --group mx.test" in out
    assert postern_main(["temporary", "list", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["temporaries"]
    assert (line["id"], line["kind"], line["reason"]) == ("Q1", "suspension", "they asked us")
    assert postern_main(["queue", "resume", "--group", "q1"]) == 0
    assert capsys.readouterr().out.startswith("Resumed Q1: what waits for mx.test goes now")
    assert postern_main(["queue", "resume", "--group", "mx.test"]) == 4


def test_workers_are_told_of_a_suspension_and_lift_their_own(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["queue", "suspend", "--group", "qq.com", "--for", "never", "--reason", "x", "--json"]
    assert postern_main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["action"], told["suspension"]["until"]) == ("suspended", None)
    assert postern_main(["queue", "resume", "--group", "google.com"]) == 0  # not ours, but theirs
    assert [(r.action, r.filter.group) for r in worker.asked] == [
        (Action.SUSPEND, "qq.com"),
        (Action.RESUME, "google.com"),
    ]


def test_a_suspension_wants_a_reason(folder: Path) -> None:
    assert postern_main(["queue", "suspend", "--group", "qq.com"]) == 64
    assert postern_main(["queue", "suspend", "--group", "qq.com", "--reason", " "]) == 2


def test_group_is_listed_mail_by_mail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, 0.1, count=3)
    assert postern_main(["queue", "mx.test", "--limit", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "PT-00000001" in out[1]
    assert "451 4.4.1 no answer" in out[1]
    assert out[3] == "the first 2; more: --limit"


def test_unknown_group_names_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, 0.1)
    assert postern_main(["queue", "google"]) == 4
    assert "groups that mail waits for: mx.test" in capsys.readouterr().err


def test_surgery_needs_the_server(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert postern_main(["queue", "hold", "--from", "@tea.example"]) == 69
    assert "the server is not running" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["hold"],
        ["hold", "--all"],
        ["hold", "--from", ""],
        ["hold", "--from", "tea trading"],
        ["hold", "--to", "<>"],
        ["hold", "--group", " "],
        ["cancel"],
        ["cancel", "--all"],
        ["reroute", "--via", "direct"],
        ["cancel", "PT-NOPE"],
        ["retry", "--all", "--group", "mx.test"],
        ["reroute", "--group", "mx.test"],
        ["reroute", "--group", "mx.test", "--via", "nowhere"],
    ],
)
def test_what_could_mean_too_much_is_refused(worker: Worker, words: list[str]) -> None:
    assert postern_main(["queue", *words]) == 64
    assert worker.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["retry"],
        ["release"],
        ["retry", "--all"],
        ["hold", "--all", "--yes"],
        ["cancel", "--all", "--yes"],
        ["reroute", "--all", "--yes", "--via", "direct"],
    ],
)
def test_all_mail_needs_a_yes_unless_it_does_no_harm(worker: Worker, words: list[str]) -> None:
    assert postern_main(["queue", *words]) == 0
    (request,) = worker.asked
    assert request.filter.is_empty


def test_unknown_egress_is_refused_with_the_names_there_are(
    worker: Worker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "postern.toml").open("a") as written:
        written.write('[[egress]]\nname = "us1"\n')
    assert postern_main(["queue", "reroute", "--group", "g", "--via", "fresh"]) == 64
    said = capsys.readouterr().err
    assert "there is no egress 'fresh'; there are: direct, us1" in said
    for there in ("us1", "direct"):
        assert postern_main(["queue", "reroute", "--group", "g", "--via", there]) == 0


def test_request_reaches_the_worker_as_it_was_given(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--from", "@TEA.example", "--to", "Chen@x.test", "--group", "g", "--account", "wang"]
    assert postern_main(["queue", "cancel", *words, "--silent", "--dry-run"]) == 0
    (request,) = worker.asked
    assert request.action is Action.CANCEL
    assert request.dry_run
    assert request.options.silent
    wanted = request.filter
    assert (wanted.sender, wanted.recipient, wanted.group, wanted.account) == (
        "@tea.example",
        "Chen@x.test",
        "g",
        "wang",
    )
    assert "3 would be cancelled; nothing was changed" in capsys.readouterr().out


def test_worker_that_does_not_answer_is_named(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "PATIENCE_S", 0.2)
    assert postern_main(["queue", "hold", "--from", "@tea.example"]) == 75
    assert "worker 0" in capsys.readouterr().err
    database = Database.open(served / "site.db")
    assert RequestStore(database).unanswered(0, 0.0) == [], "it is not done behind one's back later"
    database.close()


def test_worker_that_failed_is_a_temporary_failure(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = Worker(served, Tally(error="the disk is gone", is_done=True))
    worker.start()
    try:
        assert postern_main(["queue", "retry", "--group", "g"]) == 75
    finally:
        worker.close()
    assert "the disk is gone" in capsys.readouterr().err


def test_nothing_that_fits_is_not_found(served: Path) -> None:
    worker = Worker(served, Tally(is_done=True))
    worker.start()
    try:
        assert postern_main(["queue", "retry", "--group", "g"]) == 4
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(40, "40 s"), (600, "10 min"), (18_720, "5 h 12 min"), (3 * 86_400 + 7200, "3 days 2 h")],
)
def test_span_in_words(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_moment_is_a_time_today_and_a_date_otherwise() -> None:
    now = 1_750_000_000.0
    assert ":" in moment(now + 60, now)
    assert ":" not in moment(now + 3 * 86_400, now)


def test_real_server_holds_and_releases(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "postern", "serve"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert server.stderr is not None
    drain = threading.Thread(target=server.stderr.read)
    try:
        for line in server.stderr:
            if "postern: ready" in line:
                break
        drain.start()
        (status,) = read_statuses(folder / "data" / "run")
        with smtplib.SMTP("127.0.0.1", status.ports[0].port, timeout=DEADLINE_S) as client:
            client.sendmail("li@tea.example", ["u@nowhere.example"], "Subject: tea\r\n\r\nTea.\r\n")
        assert _within(lambda: _count("hold") == 1), "it waits, for there is no DNS"
        capsys.readouterr()
        postern_main(["queue", "--json"])
        told = json.loads(capsys.readouterr().out)
        assert (told["waiting"], told["held"]) == (0, 1)
        assert _count("release") == 1
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(DEADLINE_S)
        drain.join(DEADLINE_S)
        server.stderr.close()


def _count(action: str) -> int:
    """1 when the action found mail."""
    code = postern_main(["queue", action, "--to", "@nowhere.example"])
    return int(code == 0)


def _within(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
