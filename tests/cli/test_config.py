import json
from pathlib import Path

import pytest

from postern.cli.root import postern_main


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTERN_CONFIG", "")  # restored afterwards, whatever --config puts there


def check(path: Path, *flags: str) -> int:
    return postern_main(["--config", str(path), "config", "check", *flags])


def test_good_configuration_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text('hostname = "mx.a.example"\n[[listener]]\nkind = "mx"\nbind = "127.0.0.1:0"')
    assert check(path) == 0
    assert capsys.readouterr().out == f"{path} is fine\n"


def test_warnings_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text('hostname = "mx.a.example"')
    assert check(path) == 1
    assert "there is no [[listener]]" in capsys.readouterr().out


def test_errors_exit_78_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text("a = 1\nb = 2\n")
    assert check(path) == 78
    assert "2 errors, 0 warnings: the server cannot start" in capsys.readouterr().out


def test_json_has_stable_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text("\nworkerz = 1\n")
    assert check(path, "--json") == 78
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["ok"]) == (1, False)
    assert told["problems"] == [
        {
            "file": str(path),
            "line": 2,
            "column": 1,
            "key": "workerz",
            "severity": "error",
            "text": "there is no such setting",
            "fix": "did you mean 'workers'?",
        }
    ]


def test_reference_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert postern_main(["config", "reference"]) == 0
    assert capsys.readouterr().out.startswith("# Settings\n")
