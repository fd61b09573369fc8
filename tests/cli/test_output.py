"""What commands print cannot be bent by what is in it, and has colour only where wanted."""

import io
import json

import pytest
import typer

from postern.cli.output import (
    ExitCode,
    cell_width,
    fail,
    print_facts,
    print_json,
    print_json_list,
    print_table,
    printable,
    wants_colour,
)


class Terminal(io.StringIO):
    """A stream with a person in front of it."""

    def isatty(self) -> bool:
        return True


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\r\nb\x1b[2Jc\u202ed") == "a??b?[2Jc?d"
    with pytest.raises(typer.Exit) as ended:
        fail(ExitCode.NOT_FOUND, "no \x1b[31mred\nline")
    assert ended.value.exit_code == 4
    assert capsys.readouterr().err == "postern: no ?[31mred?line\n"


@pytest.mark.parametrize(
    ("variables", "colour"),
    [({}, "yes"), ({"NO_COLOR": "1"}, "no"), ({"TERM": "dumb"}, "no"), ({"NO_COLOR": ""}, "yes")],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colour: str
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(Terminal()) is (colour == "yes")
    assert not wants_colour(io.StringIO())


def test_columns_line_up_for_chinese_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert [cell_width(text) for text in ("ab", "王", "u\u0308")] == [2, 2, 1]
    print_table(("NAME", "N"), [("王", "1"), ("ab", "2")])
    assert capsys.readouterr().out == "NAME  N\n王    1\nab    2\n"


def test_empty_table_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME",), [])
    assert capsys.readouterr().out == ""


def test_json_is_one_line_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "b\nc"})
    print_json_list("items", [{"n": 1}, {"n": 2}])
    print_json_list("items", [])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"schema": 1, "a": "b\nc"},
        {"schema": 1, "items": [{"n": 1}, {"n": 2}]},
        {"schema": 1, "items": []},
    ]


def test_facts_stand_below_their_title(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("wang", [("a", "1"), ("long", "2")])
    assert capsys.readouterr().out == "wang\n  a     1\n  long  2\n"
