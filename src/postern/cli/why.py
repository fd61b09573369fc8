"""``postern why``: what happened to a message, and whose side it is."""

import re
import shutil
import sys
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from postern.cli.output import ExitCode, JsonFlag, fail, wants_colour
from postern.config.load import load
from postern.config.settings import Config
from postern.journal.query import MAX_PASTED_CHARS, Query, parse_bounce, parse_query
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import SystemClock

if TYPE_CHECKING:
    from postern.diagnosis.conversation_text import Paper
    from postern.diagnosis.why import Explanation, WaitingMail

app = typer.Typer(help="What happened to a message, and whose side it is.")

MIN_COLUMNS = 60
MAX_COLUMNS = 120

_SPAN = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_SPAN_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}

AsciiFlag = Annotated[bool, typer.Option("--ascii", help="OK FAIL ?? instead of marks.")]


@app.command()
def why(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help="Address, domain, IP or network, Message-ID, subject words, HELO name, trace"
            " code; or - to read a bounce from stdin.",
        ),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="A", help="Only mail to this address or domain.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="7d", help="30m, 12h, 7d, or a date such as 2026-05-16.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="1d", help="As --since; what came after is left out.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: JsonFlag = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="One recipient a line, parted by tabs.")
    ] = False,
    as_letter: Annotated[
        bool,
        typer.Option("--letter", help="A draft to whoever runs the sender's server, en and zh."),
    ] = False,
    ascii_only: AsciiFlag = False,
) -> int:
    """Tell what happened to a message: verdict, cause, whose side, every step.

    postern why li@tea-trading.example --to wang@harbour.example

    postern why - < bounce.eml

    Exit: 0 delivered, 1 waiting or held, 2 refused or returned, 3 couldn't tell, 4 not found.
    """
    from postern.diagnosis.why import explain  # noqa: PLC0415 - "--help" does without
    from postern.diagnosis.why_json import why_json  # noqa: PLC0415 - as above
    from postern.diagnosis.why_text import why_plain, why_text  # noqa: PLC0415 - as above
    from postern.journal.search import JournalReader  # noqa: PLC0415 - as above

    config = load(None)
    codes = open_codes(config)
    now = SystemClock().now()
    queries = [
        replace(
            narrowed,
            since=_instant(since, now, "--since"),
            until=_instant(until, now, "--until"),
            limit=limit,
        )
        for found in _queries(query, codes)
        for narrowed in [found.to(to) if to else found]
    ]
    journal, waiting = JournalReader(config.data_dir / "journal"), open_waiting(config)
    answer = explain(queries, journal, waiting, [one.name for one in config.resolvers])
    if as_letter:
        write(_letter(answer, codes, config.hostname))
    elif as_json:
        sys.stdout.write(why_json(answer, codes) + "\n")
    elif plain:
        write(why_plain(answer, paper(codes, is_ascii=True)))
    else:
        write(why_text(answer, paper(codes, is_ascii=ascii_only)))
    return answer.exit.value


def _letter(answer: "Explanation", codes: TraceCodes, hostname: str) -> str:
    from postern.diagnosis.letter import letter  # noqa: PLC0415 - seldom asked for
    from postern.diagnosis.terminal import harmless  # noqa: PLC0415 - as above

    c = answer.decisive
    text = "" if c is None else letter(c, codes.encode(c.id), hostname)
    if not text:
        fail(ExitCode.NOT_FOUND, "there is nothing in it that the sender's side could mend")
    return "".join(f"{harmless(line)}\n" for line in text.splitlines())


def open_codes(config: Config) -> TraceCodes:
    """The trace codes of this site, by the key in ``site.db``."""
    from postern.diagnosis.store import read_trace_key  # noqa: PLC0415 - "--help" does without

    if key := read_trace_key(config.data_dir / "site.db"):
        return TraceCodes(key)
    from postern.cli.site import open_site  # noqa: PLC0415 - loads the SQL library (0.35 s)

    with open_site(config.source) as site:
        return TraceCodes(site.trace_key())


def open_waiting(config: Config) -> "WaitingMail":
    """The mail that still waits in the workers' spools, whether the server runs or not."""
    from postern.app.waiting import SpooledMail  # noqa: PLC0415 - "--help" does without

    return SpooledMail(config.data_dir / "spool")


def paper(codes: TraceCodes, *, is_ascii: bool) -> "Paper":
    """What to write on: this terminal's width, colours and marks."""
    from postern.diagnosis.conversation_text import Paper  # noqa: PLC0415 - "--help" does without
    from postern.diagnosis.terminal import Style  # noqa: PLC0415 - as above

    columns = shutil.get_terminal_size((100, 24)).columns
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    style = Style(
        is_ascii=is_ascii or encoding != "utf8",
        has_colour=wants_colour(sys.stdout),
        columns=max(MIN_COLUMNS, min(MAX_COLUMNS, columns)),
    )
    return Paper(style, codes)


def write(text: str) -> None:
    """Print ``text``, also on a terminal that cannot show all of it (``LANG=C``)."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _queries(text: str, codes: TraceCodes) -> tuple[Query, ...]:
    if text != "-":
        query = parse_query(text, codes)
        if not query.clues:
            fail(ExitCode.USAGE, "nothing to search for was given")
        return (query,)
    pasted = sys.stdin.buffer.read(MAX_PASTED_CHARS).decode("utf-8", "replace")
    queries = parse_bounce(pasted, codes)
    if not queries:
        fail(
            ExitCode.NOT_FOUND,
            "that text holds no trace code, Message-ID, address or IP address to look for",
        )
    return queries


def _instant(text: str | None, now: float, option: str) -> float | None:
    """The moment ``7d`` ago, or of a date in this machine's zone."""
    if text is None:
        return None
    if match := _SPAN.fullmatch(text.strip()):
        return now - int(match.group(1)) * _SPAN_S[match.group(2)]
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError):
        fail(ExitCode.USAGE, f"{option}: {text!r} is neither a span such as 7d nor a date")
