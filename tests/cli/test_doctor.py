import json
from pathlib import Path

import pytest

from postern.cli.doctor import site_of, summary, to_text
from postern.cli.root import postern_main
from postern.config.load import load
from postern.diagnosis.doctor_results import couldnt_tell, ok, problem, warning

TEXT = """
hostname = "mx.postern.test"
workers = 2
[[listener]]
kind = "mx"
bind = "127.0.0.1:0"
[[resolver]]
name = "home"
servers = ["127.0.0.1:1"]
timeout_s = 0.2
[console]
bind = "127.0.0.1:0"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTERN_CONFIG", "")
    path = tmp_path / "postern.toml"
    path.write_text(TEXT)
    return path


def test_json_has_stable_keys_and_the_exit_code_fits(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = postern_main(["--config", str(path), "doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    results = {result["result"] for result in told["results"]}
    assert results <= {"ok", "warning", "problem", "couldnt-tell"}
    assert set(told["results"][0]) == {"check", "result", "what", "whose", "fix"}
    # The server of this configuration does not run, so there is a warning at least.
    assert code == (2 if "problem" in results else 1)


def test_text_says_what_to_do_and_counts(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    postern_main(["--config", str(path), "doctor"])
    out = capsys.readouterr().out
    assert "warning server.running: the server is not running\n          -> postern serve" in out
    assert "looked at" in out.splitlines()[-1]


def test_cure_is_only_shown_where_something_is_ill() -> None:
    assert to_text(ok("a.b", "fine")) == "ok      a.b: fine"
    assert to_text(problem("a.b", "bad", "mend it")).endswith("-> mend it")


def test_summary_counts_each_kind() -> None:
    results = [ok("a", "x"), warning("b", "x", "y"), warning("c", "x", "y"), couldnt_tell("d", "x")]
    assert summary(results) == "0 problems, 2 warnings, 1 couldn't tell, 4 looked at"


def test_needs_follow_the_settings(path: Path) -> None:
    site = site_of(load(path))
    assert site.workers == 2
    assert site.need_bytes == 2 * 50 * 1024 * 1024 + 256 * 1024 * 1024
    assert site.need_files == 5000 + 100 + 200
    assert [door.setting for door in site.doors] == ["listener[1].bind", "console.bind"]
