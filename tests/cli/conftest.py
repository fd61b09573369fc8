"""A site with a configuration, and its commands."""

import io
import sys
from pathlib import Path

import pytest
from tests.cli.called import Postern, Said, Terminal

from postern.cli.root import postern_main

CONFIG = """
hostname = "mx.host.example"
data_dir = "data"
[[listener]]
kind = "mx"
bind = "127.0.0.1:0"
"""
H = "harbour.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postern.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def postern(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Postern:
    monkeypatch.setenv("POSTERN_CONFIG", "")  # the root command sets it; put it back afterwards
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str, stdin: bytes = b"", at_terminal: bool = False) -> Said:
        kind = Terminal if at_terminal else io.TextIOWrapper
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", kind(io.BytesIO(stdin)))
            code = postern_main(["--config", str(folder / "postern.toml"), *arguments])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def harbour(postern: Postern) -> Postern:
    assert postern("domain", "add", H).code == 0
    added = postern("mailbox", "add", f"wang@{H}", "--password-stdin", stdin=b"tea and milk\n")
    assert (added.code, added.err) == (0, "")
    return postern
