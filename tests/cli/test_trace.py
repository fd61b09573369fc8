"""postern trace, as it is typed."""

import json
from pathlib import Path

import pytest

from postern.cli.root import postern_main
from postern.directory.store.site import SiteStore
from postern.journal.record import Because, Conversation, Line
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import SystemClock


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "postern.toml"
    path.write_text('hostname = "mx.host.example"\ndata_dir = "data"\n', "utf-8")
    monkeypatch.setenv("POSTERN_CONFIG", str(path))
    return str(path)


@pytest.fixture
def codes(config: str) -> TraceCodes:
    data = Path(config).parent / "data"
    site = SiteStore.open(data, SystemClock(), "test")
    key = site.trace_key()
    site.close()
    with JournalWriter(data / "journal", 0, SystemClock(), JournalSettings()) as writer:
        writer.append(
            [
                Conversation(
                    id=7,
                    at=SystemClock().now(),
                    client_ip="198.51.100.24",
                    because=Because("ptr.missing", "no reverse DNS name", "sender"),
                    transcript=[Line(0.0, "S", "220 mx"), Line(7.5, "C", "QUIT")],
                )
            ]
        )
    return TraceCodes(key)


def test_conversation_is_told_with_what_was_said(
    config: str, codes: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern_main(["--config", config, "trace", codes.encode(7).lower(), "--ascii"]) == 2
    told = capsys.readouterr().out
    assert told.startswith("REFUSED")
    assert "7.50 C  QUIT  SLOW" in told


def test_json_is_one_object(
    config: str, codes: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern_main(["--config", config, "trace", codes.encode(7), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["conversation"]["trace"] == codes.encode(7)
    assert len(report["transcript"]) == 2


def test_unknown_code_is_4_and_no_code_is_64(
    config: str, codes: TraceCodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern_main(["--config", config, "trace", codes.encode(8)]) == 4
    assert "Nothing is on file" in capsys.readouterr().out
    assert postern_main(["--config", config, "trace", "li@tea.example"]) == 64
    assert "not a trace code" in capsys.readouterr().err
