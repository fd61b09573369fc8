"""``postern paths``: MX groups, their addresses, and how well each way to them does."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from postern.cli.output import (
    ExitCode,
    JsonFlag,
    JsonObject,
    cell_width,
    fail,
    print_json_list,
    say,
)
from postern.cli.steered import Steered, steered
from postern.cli.when import moment, span
from postern.config.load import load
from postern.config.settings import Config
from postern.diagnosis.store import Unencrypted, read_unencrypted
from postern.mail.paths import Sign
from postern.mail.route import RELAY_GROUP
from postern.queue.groupview import GroupView, standing
from postern.routing.paths.health import GOOD_TO_HEAL, PathCondition, is_good
from postern.routing.paths.overview import AddressLine, Course, CourseOf, GroupLine, look
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.runtime.clock import Instant, SystemClock, rfc3339
from postern.runtime.database.trouble import DatabaseTroubleError

app = typer.Typer(
    help="MX groups, their addresses, and how well each way to them does.",
    epilog="What the words mean, and what is tested when: docs/paths.md",
)

Exempt = Mapping[str, Unencrypted]
"""Addresses that mail goes to in clear."""

SHOWN_ADDRESSES = 20
"""Of one group; of a provider's hosts each customer may have some of its own."""

_WORDS = {
    Sign.REFUSED: "refused",
    Sign.SILENT: "no ans.",
    Sign.MUTE: "no greet.",
    Sign.RESET: "reset",
    Sign.CLOSED: "closed",
    Sign.TLS_REFUSED: "TLS ref.",
    Sign.TLS_STALLED: "TLS t/o",
    Sign.TLS_BROKEN: "TLS err.",
    Sign.TLS_CUT: "TLS cut",
    Sign.TLS_MISSING: "no TLS",
    Sign.UNTRUSTED: "bad cert.",
    Sign.BUSY: "busy",
    Sign.UNWELCOME: "unwelcome",
    Sign.THROTTLED: "throttled",
    Sign.SLOW: "answers, then slow",
    Sign.BROKEN_OFF: "answers, then cut off",
    Sign.LOCKED_OUT: "login ref.",
}
"""What was seen of a path, in a cell of the table."""

_ENDS = {
    PathCondition.HEALTHY: ExitCode.OK,
    PathCondition.DEGRADED: ExitCode.WARNING,
    PathCondition.PROBING: ExitCode.WARNING,
    PathCondition.BLOCKED: ExitCode.PROBLEM,
}


@app.command()
def paths(
    group: Annotated[
        str | None,
        typer.Argument(metavar="[GROUP]", help="Only this MX group, or the group of this domain."),
    ] = None,
    bad: Annotated[
        bool, typer.Option("--bad", help="Only groups of which something bad is known.")
    ] = False,
    as_json: JsonFlag = False,
) -> int:
    """Tell how well each MX group is reached. The server need not run.

    postern paths --bad

    postern paths google

    Exit: 0 all is healthy, 1 something is degraded, only just answers again, or leaves through a
    relay, 2 nothing reaches a group, 3 the file could not be read, 4 no mail ever went to that
    group.
    """
    config = load(None)
    now = SystemClock().now()
    how = steered(config)
    with _opened(config) as view:
        found = [] if view is None else look(
            view, now, group=group, only_bad=bad, course_of=courses(how)
        )  # fmt: skip
        dead = set[str]() if view is None else _dead(view, how.relays, now)
        is_known = bool(found) or (
            group is not None and view is not None and bad and bool(look(view, now, group=group))
        )
    if group is not None and not is_known:
        fail(ExitCode.NOT_FOUND, f"no mail went to {group!r} yet; groups: postern paths")
    exempt = {one.ip: one for one in read_unencrypted(config.data_dir / "site.db", now)}
    held = standing(config.run_dir, now)
    if as_json:
        print_json_list("groups", (_as_json(line, exempt, held.get(line.name)) for line in found))
    else:
        _print(found, now, only_bad=bad, retest_s=config.paths.retest_s)
        for text in (*_exempted(found, exempt), *_held(found, held, now)):
            say(text)
    return max((_end(line, how, dead) for line in found), default=ExitCode.OK)


def courses(how: Steered) -> CourseOf:
    """What says which route a group's mail takes, and what was decided about it."""
    return how.of_group


def _dead(view: PathView, relays: Sequence[str], now: Instant) -> set[str]:
    """The relays that nothing reaches."""
    lines = (line for name in relays for line in look(view, now, group=RELAY_GROUP + name))
    blocked = (line.name for line in lines if line.condition is PathCondition.BLOCKED)
    return {name.removeprefix(RELAY_GROUP) for name in blocked}


def _end(line: GroupLine, how: Steered, dead: set[str]) -> ExitCode:
    """A group that is blocked and whose mail leaves through a relay is no problem of now."""
    relay = how.relay_of(line.name)
    if line.condition is PathCondition.BLOCKED and relay and relay not in dead:
        return ExitCode.WARNING
    return _ENDS[line.condition]


@contextmanager
def _opened(config: Config) -> Iterator[PathView | None]:
    """The file, for the length of one command; None: no mail went out yet."""
    path = config.data_dir / FILE_NAME
    if not path.exists():
        yield None
        return
    if not os.access(path, os.R_OK | os.W_OK):
        fail(
            ExitCode.NO_PERMISSION,
            f"{path} belongs to {path.owner()}; give the command as that user or as root",
        )
    try:
        view = PathView.open(config.data_dir)
        try:
            yield view
        finally:
            view.close()
    except (DatabaseTroubleError, OSError) as error:
        fail(ExitCode.COULDNT_TELL, f"{path}: {error}")


def _exempted(found: Sequence[GroupLine], exempt: Exempt) -> Iterator[str]:
    """A line for each address shown that mail goes to in clear."""
    ips = dict.fromkeys(one.ip for line in found for one in line.addresses)
    for one in (exempt[ip] for ip in ips if ip in exempt):
        until = rfc3339(one.until)[:10]
        yield f"No TLS to {one.ip}: exemption {one.label} until {until}; see: postern tls list"


def _held(found: Sequence[GroupLine], held: Mapping[str, GroupView], now: Instant) -> Iterator[str]:
    """A line for each group shown whose mail the queue holds back, or serves slowly."""
    for one in (held[line.name] for line in found if line.name in held):
        until = "" if one.until is None else moment(one.until, now)
        yield f"{one.name}: {one.in_words(until, moment(one.since, now))}"


def _as_json(line: GroupLine, exempt: Exempt, held: GroupView | None) -> JsonObject:
    return {
        "mx_group": line.name,
        "domains": line.domains,
        "state": line.condition.value,
        "since": None if line.since is None else rfc3339(line.since),
        "route": line.route,
        "note": line.note,
        "queue": None if held is None else held.condition,
        "addresses": [_address_json(address, exempt) for address in line.addresses],
    }


def _address_json(line: AddressLine, exempt: Exempt) -> JsonObject:
    state, exemption = line.state, exempt.get(line.ip)
    return {
        "mx": line.host,
        "address": _address(line),
        "egress": line.egress,
        "state": line.condition.value,
        "tls": None if state is None else state.tls,
        "last_error": None if state is None else state.last_error or None,
        "since": None if state is None else rfc3339(state.since),
        "exemption": None if exemption is None else exemption.label,
        "sign": None if state is None else state.last_sign.value,
        "place": line.place or None,
        "last_good_at": _moment_json(None if state is None else state.last_good_at),
        "next_test_at": _moment_json(line.next_test_at),
    }


def _moment_json(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)


def _print(found: Sequence[GroupLine], now: Instant, *, only_bad: bool, retest_s: float) -> None:
    if not found:
        say("Every path is healthy." if only_bad else "No mail went out yet.")
        return
    egresses = tuple(dict.fromkeys(one.egress for line in found for one in line.addresses))
    header = ("GROUP / MX (order tried)", "address", *egresses, "since")
    parts = [
        (_head(line, now), list(_rows(line, egresses, now, only_bad=only_bad))) for line in found
    ]
    rows = [header, *(row for _, rows in parts for row in rows)]
    names = [header[0], *(head.name for head, _ in parts)]
    widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], *map(cell_width, names))
    widths[1] = max(widths[1], *(len(head.states) for head, _ in parts))
    say(_padded(header, widths))
    for head, lines in parts:
        # What stands beside a group's name is a sentence: it has the room of all columns.
        cells = (head.name, head.states, head.words) if head.words else (
            head.name, head.states, *("" for _ in egresses), head.since
        )  # fmt: skip
        say(_padded(cells, widths))
        for row in lines:
            say(_padded(row, widths))
    told = [text for line in found if (text := _outlook(line, now, retest_s))]
    for text in ("", *told) if told else ():
        say(text)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=False)
    return "  ".join(cell + " " * (width - cell_width(cell)) for cell, width in pairs).rstrip()


@dataclass(frozen=True, slots=True)
class _Head:
    """A group's own line."""

    name: str
    states: str
    words: str
    since: str


def _head(line: GroupLine, now: Instant) -> _Head:
    domains = f"  {line.domains} domain{'' if line.domains == 1 else 's'}" if line.domains else ""
    states = _summary(line, len(line.by_address())) or "healthy"
    since = "-" if line.since is None else moment(line.since, now)
    return _Head(f"{line.name}{domains}", states, _beside(line), since)


def _beside(line: GroupLine) -> str:
    return Course(line.route, line.note).in_words


def _rows(
    line: GroupLine, egresses: Sequence[str], now: Instant, *, only_bad: bool
) -> Iterator[tuple[str, ...]]:
    shown = [
        lines
        for lines in line.by_address().values()
        if not only_bad or any(one.state is not None for one in lines)
    ]
    for lines in shown[:SHOWN_ADDRESSES]:
        yield _row(lines, egresses, now)
    if len(shown) > SHOWN_ADDRESSES:
        blank = [""] * len(egresses)
        yield (f"    and {len(shown) - SHOWN_ADDRESSES} more: --json", "", *blank, "")


def _row(lines: Sequence[AddressLine], egresses: Sequence[str], now: Instant) -> tuple[str, ...]:
    """One address: what each egress sees of it."""
    first = lines[0]
    cells = {one.egress: _cell(one) for one in lines}
    since = [one.state.since for one in lines if one.state is not None]
    return (
        f"  {first.place or '-'} {first.host or first.ip}",
        _address(first),
        *(cells.get(egress, "") for egress in egresses),
        moment(min(since), now) if since else "-",
    )


def _cell(line: AddressLine) -> str:
    state = line.state
    if state is None:
        return "ok"
    if not is_good(state.last_sign):
        return _WORDS[state.last_sign]
    is_probing = state.condition is PathCondition.PROBING
    return f"ok {state.good}/{GOOD_TO_HEAL}" if is_probing else "ok again"


def _summary(line: GroupLine, addresses: int) -> str:
    every = line.by_address().values()
    bad = sum(any(one.state is not None for one in lines) for lines in every)
    if line.condition is PathCondition.BLOCKED and bad:
        return f"{bad}/{addresses} down"  # some of them may not have failed twice
    if line.down:
        return f"{line.down}/{addresses} down"
    if line.condition is PathCondition.PROBING:
        return "answers again"
    return f"{bad}/{addresses} degraded" if bad else ""


def _outlook(line: GroupLine, now: Instant, retest_s: float) -> str:
    """What becomes of a group of which addresses are down."""
    down = [
        one
        for one in line.addresses
        if one.condition in {PathCondition.BLOCKED, PathCondition.PROBING}
    ]
    if not down:
        return ""
    good = [s.last_good_at for one in down if (s := one.state) and s.last_good_at is not None]
    parts = [f"last good {moment(max(good), now)}"] if good else []
    tests = [one.next_test_at for one in down if one.next_test_at is not None]
    if tests:
        soon = min(tests)
        parts.append("next test " + ("now" if soon <= now else moment(soon, now)))
    parts.append(f"tested at least every {span(retest_s)}")
    best = max(one.state.good for one in down if one.state is not None)
    parts.append(f"{best} of the {GOOD_TO_HEAL} good tests needed")
    return f"To {line.name}: {'; '.join(parts)}."


def _address(line: AddressLine) -> str:
    """``192.0.2.1``, or with its port where that is not 25."""
    if line.port == 25:
        return line.ip
    return f"[{line.ip}]:{line.port}" if ":" in line.ip else f"{line.ip}:{line.port}"
