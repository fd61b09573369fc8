"""How commands speak: exit codes, JSON, tables, and errors as one sentence on stderr.

What was asked for goes to stdout, all talk to stderr. Colour only where a person sits at a
terminal that wants it (https://no-color.org).
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, islice
from typing import Annotated, NoReturn, TextIO

import typer

SCHEMA = 1
"""Version of the JSON that all commands print; keys are only ever added under one number."""

WIDTHS_FROM = 1_000
"""Rows that are looked at for column widths; more would keep a long list in memory."""

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, JsonValue]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]


class ExitCode(IntEnum):
    """What a command ends with: monitoring plugins' order below 64, sysexits above."""

    OK = 0
    WARNING = 1
    PROBLEM = 2
    COULDNT_TELL = 3
    NOT_FOUND = 4
    USAGE = 64
    UNAVAILABLE = 69
    SOFTWARE = 70
    TEMPORARY = 75
    NO_PERMISSION = 77
    CONFIGURATION = 78


def fail(code: ExitCode, text: str) -> NoReturn:
    """End the command with ``code`` and one sentence on stderr."""
    note(text)
    raise typer.Exit(code)


def note(text: str) -> None:
    """Say something beside the output, as one line on stderr."""
    sys.stderr.write(f"postern: {printable(text)}\n")


def say(text: str) -> None:
    """Print one line of output for people."""
    sys.stdout.write(f"{printable(text)}\n")


def printable(text: str) -> str:
    """``text`` without anything that could move the terminal's cursor or end the line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


def wants_colour(stream: TextIO) -> bool:
    """Whether colour codes may be written to ``stream``."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def print_json(content: JsonObject) -> None:
    """Print one JSON object with ``schema`` in front."""
    sys.stdout.write(json.dumps({"schema": SCHEMA, **content}) + "\n")


def print_json_list(key: str, items: Iterable[JsonObject]) -> None:
    """Print ``{"schema":1,"KEY":[…]}``, one item at a time: lists may be longer than memory."""
    sys.stdout.write(f'{{"schema": {SCHEMA}, {json.dumps(key)}: [')
    for number, item in enumerate(items):
        sys.stdout.write((", " if number else "") + json.dumps(item))
    sys.stdout.write("]}\n")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns; nothing at all, not even the header, when there are none."""
    remaining = iter(rows)
    first = list(islice(remaining, WIDTHS_FROM))
    if not first:
        return
    widths = [max(map(cell_width, column)) for column in zip(header, *first, strict=True)]
    bold, plain = ("\x1b[1m", "\x1b[0m") if wants_colour(sys.stdout) else ("", "")
    sys.stdout.write(f"{bold}{_line(header, widths)}{plain}\n")
    for row in chain(first, remaining):
        sys.stdout.write(f"{_line(row, widths)}\n")


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print one thing: its name, then its facts below each other."""
    say(title)
    pairs = list(facts)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"  {name:<{width}}  {value}")


def confirm(question: str, *, yes: bool) -> bool:
    """True when ``--yes`` was given, or a person at a terminal says yes; never asks a script."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def cell_width(text: str) -> int:
    """Columns that ``text`` takes in a terminal: Chinese, Japanese and Korean take two each."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return wide + sum(not unicodedata.combining(c) for c in text)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_padded(row, widths)).rstrip()


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(row, widths, strict=True):
        shown = printable(cell)
        yield shown + " " * max(0, width - cell_width(shown))
