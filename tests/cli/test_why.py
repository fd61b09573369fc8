"""postern why, as it is typed."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postern.cli.root import postern_main
from postern.directory.store.site import SiteStore
from postern.journal.record import Because, Conversation, RecipientRecord
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import SystemClock

HOUR_S = 3600

Postern = Callable[..., int]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "postern.toml"
    path.write_text('hostname = "mx.host.example"\ndata_dir = "data"\n', "utf-8")
    return path


@pytest.fixture
def codes(config: Path) -> TraceCodes:
    site = SiteStore.open(config.parent / "data", SystemClock(), "test")
    key = site.trace_key()
    site.close()
    return TraceCodes(key)


@pytest.fixture
def journal(config: Path, codes: TraceCodes) -> TraceCodes:
    now = SystemClock().now()
    with JournalWriter(
        config.parent / "data" / "journal", 0, SystemClock(), JournalSettings()
    ) as writer:
        writer.append(
            [
                Conversation(
                    id=number,
                    at=now - number * HOUR_S,
                    client_ip="198.51.100.24",
                    mail_from="li@tea.example",
                    subject="报价单",
                    because=None
                    if state == "delivered"
                    else Because("ptr.missing", "no", "sender"),
                    recipients=[RecipientRecord(f"{to}@harbour.example", state)],
                )
                for number, to, state in ((1, "wang", "delivered"), (30, "chen", "refused"))
            ]
        )
    return codes


@pytest.fixture
def postern(config: Path, monkeypatch: pytest.MonkeyPatch) -> Postern:
    monkeypatch.setenv("POSTERN_CONFIG", str(config))

    def run(*arguments: str) -> int:
        return postern_main(["--config", str(config), *arguments])

    return run


def test_exit_status_and_json_tell_the_same(
    postern: Postern, journal: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern("why", "li@tea.example", "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert [c["trace"] for c in report["conversations"]] == [journal.encode(1), journal.encode(30)]
    assert postern("why", "li@tea.example", "--to", "wang@harbour.example") == 0
    assert "DELIVERED" in capsys.readouterr().out
    assert postern("why", "nobody@nowhere.example") == 4


def test_since_and_until_leave_out_the_rest(
    postern: Postern, journal: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern("why", "tea.example", "--since", "12h", "--plain") == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert postern("why", "tea.example", "--until", "1d", "--plain") == 2
    assert postern("why", "tea.example", "--since", "2001-02-03", "--limit", "1") == 0
    assert postern("why", "tea.example", "--since", "soon") == 64
    assert "neither a span" in capsys.readouterr().err


def test_trace_code_and_subject_are_found(
    postern: Postern, journal: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern("why", journal.encode(30).lower()) == 2
    assert "REFUSED" in capsys.readouterr().out
    assert postern("why", "报价单", "--ascii", "--to", "harbour.example") == 2
    assert "报价单" in capsys.readouterr().out


def test_bounce_is_read_from_stdin(
    postern: Postern,
    journal: TraceCodes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def paste(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    paste(b"\xff550 5.7.25 no reverse DNS name " + journal.encode(30).encode())
    assert postern("why", "-", "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert [c["trace"] for c in report["conversations"]] == [journal.encode(30)]
    paste(b"it does not work")
    assert postern("why", "-") == 4
    assert "holds no trace code" in capsys.readouterr().err


def test_nothing_to_ask_is_a_usage_error(
    postern: Postern, codes: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern("why", "  ") == 64
    assert postern("why") == 64
    assert "QUERY" in capsys.readouterr().err


def test_it_works_before_the_server_ever_ran(
    postern: Postern, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern("why", "li@tea.example") == 4
    assert "nothing was logged yet" in " ".join(capsys.readouterr().out.split())


def test_a_terminal_without_utf8_gets_what_it_can_show(config: Path, journal: TraceCodes) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "postern", "--config", str(config), "why", "tea.example"],
        env=os.environ | {"PYTHONPATH": "src", "PYTHONIOENCODING": "ascii"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout.isascii()
    assert b"\\u62a5" in ended.stdout


def test_sql_library_is_not_loaded_for_a_question(config: Path, journal: TraceCodes) -> None:
    code = (
        "import sys; from postern.cli.root import postern_main;"
        f"code = postern_main(['--config', {str(config)!r}, 'why', 'tea.example', '--json']);"
        "assert 'sqlalchemy' not in sys.modules; sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": "src"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr


def test_help_tells_the_exit_status(postern: Postern, capsys: pytest.CaptureFixture[str]) -> None:
    assert postern("why", "--help") == 0
    assert "not found" in capsys.readouterr().out
