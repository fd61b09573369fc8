import os
import subprocess
import sys
from pathlib import Path

import pytest

import postern
from postern.cli import root
from postern.cli.root import COMMANDS, Parsed, UsageProblem, parse, postern_main

SOURCE = Path(postern.__file__).parents[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "postern", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment,
    )


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert postern_main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in out
        assert command.summary in out


def test_help_loads_no_command_and_no_heavy_library() -> None:
    code = (
        "import sys; from postern.cli.root import postern_main; postern_main(['--help']);"
        "bad = {'typer', 'rich', 'sqlalchemy', 'sqlite3', 'asyncio', 'cryptography', 'dns',"
        " 'msgspec', 'structlog', 'starlette'} & set(sys.modules); sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["domain", "mailbox", "alias"])
def test_the_directory_is_changed_without_loading_what_the_server_runs(command: str) -> None:
    code = (
        f"import sys, postern.cli.{command};"
        "bad = {'postern.app', 'postern.queue.worker', 'postern.policy.checks',"
        " 'postern.reception'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert postern_main(["--version"]) == 0
    assert capsys.readouterr().out == f"postern {postern.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["wyh"], "did you mean 'why'?"),
        (["xyzzy"], "'postern --help' lists them"),
        ([], "no command given"),
        (["--frobnicate"], "there is no option --frobnicate"),
        (["--config"], "needs the name of a file"),
    ],
)
def test_usage_errors_exit_64_and_help(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert postern_main(arguments) == 64
    assert hint in capsys.readouterr().err


def test_usage_errors_of_a_command_exit_64_too() -> None:
    done = run("config", "chek")
    assert done.returncode == 64
    assert "Did you mean 'check'?" in done.stderr
    assert run("config", "check", "--frobnicate").returncode == 64
    assert run("config").returncode == 64


def test_config_after_the_command_is_told_its_place() -> None:
    done = run("config", "check", "--config", "x.toml")
    assert done.returncode == 64
    assert "--config goes before the command" in done.stderr


@pytest.mark.parametrize("form", [["--config", "a.toml"], ["--config=a.toml"]])
def test_config_is_taken_before_the_command(form: list[str]) -> None:
    assert parse([*form, "why", "--json"]) == Parsed("why", ("--json",), Path("a.toml"))


def test_options_behind_the_command_are_the_commands_own() -> None:
    assert parse(["sendmail", "--help"]) == Parsed("sendmail", ("--help",), None)
    assert isinstance(parse(["-x"]), UsageProblem)


def test_bug_is_one_sentence_and_exit_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_parsed: Parsed) -> int:
        raise KeyError("x")

    monkeypatch.setattr(root, "run", broken)
    monkeypatch.delenv("POSTERN_DEBUG", raising=False)
    assert postern_main(["why"]) == 70
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "KeyError" in error
    monkeypatch.setenv("POSTERN_DEBUG", "1")
    assert postern_main(["why"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_configuration_that_cannot_be_used_exits_78_for_any_command(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('hostnam = "x"')
    done = run("--config", str(tmp_path / "p.toml"), "doctor")
    assert done.returncode == 78
    assert "p.toml:1:1: error: hostnam" in done.stderr
    assert "Traceback" not in done.stderr


def test_program_called_sendmail_is_sendmail(tmp_path: Path) -> None:
    link = tmp_path / "newaliases"
    link.write_text(
        "import sys\nfrom postern.cli.root import postern_main\n"
        f"sys.exit(postern_main([], {str(link)!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, str(link)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert done.returncode == 0
    assert "postern alias" in done.stdout


def test_reader_that_had_enough_is_no_error() -> None:
    command = f"{sys.executable} -m postern config reference | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert done.returncode in {0, 1}
    assert done.stderr == ""
