"""``postern queue``: what waits and why; hold, release, retry, cancel, reroute, suspend."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from postern.cli.output import (
    ExitCode,
    JsonFlag,
    JsonObject,
    fail,
    note,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.queue_surgery import add_actions
from postern.cli.queue_suspension import add_suspension
from postern.cli.steered import steered
from postern.cli.when import moment, span
from postern.config.load import load
from postern.config.settings import Config
from postern.diagnosis.store import Unencrypted, read_unencrypted
from postern.queue.groupview import GroupView
from postern.queue.view import CauseLine, DeliveryLine, QueueView, groups, look, look_at_group
from postern.runtime.clock import Instant, SystemClock, rfc3339
from postern.runtime.lock import is_served

if TYPE_CHECKING:
    from typer._click import Context  # what TyperGroup's own signature names

SHOWN_CAUSES = 20
HEAD_CHARS = 74


class _Queue(TyperGroup):
    """``postern queue`` and ``postern queue GROUP`` are ``queue list`` without saying so."""

    default_verb = "list"

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Put ``list`` in front unless a verb, or a call for help, is there."""
        if not args or (args[0] not in self.commands and args[0] not in {"--help", "-h"}):
            args = [self.default_verb, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Queue,
    help="What waits and why; hold, release, retry, cancel, reroute it; suspend a group.",
    epilog="One group: postern queue GROUP. One mail: postern why PT-.... mailq works too.",
)


@app.command("list")
def list_(
    group: Annotated[
        str | None, typer.Argument(metavar="[GROUP]", help="Only this MX group, mail by mail.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Messages of a group.")] = 50,
    as_json: JsonFlag = False,
) -> int:
    """Tell what waits, by cause; or the mail of one group. The server need not run.

    postern queue

    postern queue google

    Exit: 0 nothing waits for long, 1 the oldest waits for more than 1 h, 2 for more than 4 h,
    3 a spool could not be read, 4 nothing waits for that group.
    """
    config = load(None)
    try:
        if group is not None:
            return _print_group(config, group, limit, as_json=as_json)
        view = look(config.data_dir / "spool", config.run_dir, SystemClock().now())
    except PermissionError as error:
        fail(ExitCode.NO_PERMISSION, f"{error}; give the command as the mail's owner or as root")
    except OSError as error:
        fail(ExitCode.COULDNT_TELL, str(error))
    for warning in view.warnings:
        note(warning)
    unencrypted = read_unencrypted(config.data_dir / "site.db", SystemClock().now())
    if as_json:
        print_json(_as_json(view, unencrypted))
    else:
        _print_view(config, view, SystemClock().now(), is_running=is_served(config.data_dir))
        _print_unencrypted(unencrypted)
    return ExitCode.COULDNT_TELL if view.warnings else view.severity


def _as_json(view: QueueView, unencrypted: Sequence[Unencrypted]) -> JsonObject:
    return {
        "waiting": view.waiting,
        "held": view.held,
        "oldest_s": round(view.oldest_s),
        "slots": {
            "used": view.slots_used,
            "all": view.slots_all,
            "lanes": {lane.name: {"used": lane.used, "all": lane.all} for lane in view.lanes},
        },
        "causes": [
            {
                "cause": line.cause,
                "mx_group": line.mx_group,
                "count": line.count,
                "since": rfc3339(line.since),
                "next_at": None if line.next_at is None else rfc3339(line.next_at),
                "gives_up_at": rfc3339(line.gives_up_at),
                "group": None if line.group is None else _group_json(line.group),
            }
            for line in view.causes
        ],
        "more_causes": view.more_causes,
        "unencrypted": [
            {"id": one.label, "address": one.ip, "until": rfc3339(one.until)} for one in unencrypted
        ],
    }


def _print_unencrypted(unencrypted: Sequence[Unencrypted]) -> None:
    """What goes out in clear now: it does not wait, and somebody should know."""
    if not unencrypted:
        return
    first = unencrypted[0]
    more = f" and to {len(unencrypted) - 1} more" if len(unencrypted) > 1 else ""
    until = rfc3339(first.until)[:10]
    say(f"No TLS to {first.ip} until {until} ({first.label}){more}: postern tls list")


def _group_json(group: GroupView) -> JsonObject:
    return {
        "condition": group.condition,
        "since": rfc3339(group.since),
        "until": None if group.until is None else rfc3339(group.until),
        "because": group.because,
        "temporary": group.label or None,
        "slots": {"used": group.used, "most": group.most, "slow": group.slow_used},
        "busy": group.busy,
    }


def _print_view(config: Config, view: QueueView, now: Instant, *, is_running: bool) -> None:
    slots = _slots(view) if is_running else "server not running"
    if not view.waiting:
        say(f"{'Nothing waits.':<{HEAD_CHARS - len(slots)}}  {slots}")
    else:
        causes = len(view.causes) + view.more_causes
        head = (
            f"{view.waiting} waiting, oldest {span(view.oldest_s)}, "
            f"{causes} cause{'' if causes == 1 else 's'}"
        )
        say(f"{head:<{HEAD_CHARS - len(slots)}}  {slots}")
        print_table(
            (" n", "cause", "since", "next try", "gives up"),
            (row for line in view.causes[:SHOWN_CAUSES] for row in _rows(line, now)),
        )
        if causes > SHOWN_CAUSES:
            say(f"and {causes - SHOWN_CAUSES} more causes: postern queue --json")
    if view.held:
        say(f"{view.held} held until a person says otherwise: postern queue release --all")
    if view.waiting:
        shown = dict.fromkeys(line.mx_group for line in view.causes[:SHOWN_CAUSES])
        for text in steered(config).about(group for group in shown if group):
            say(text)
        say("")
        named = next((line.mx_group for line in view.causes if line.mx_group), "GROUP")
        say(f"One group: postern queue {named}     One mail: postern why PT-...")


def _slots(view: QueueView) -> str:
    """``slots 31/400, 6 of them slow``."""
    slow = next((lane.used for lane in view.lanes if lane.name == "slow"), 0)
    return f"slots {view.slots_used}/{view.slots_all}" + (f", {slow} of them slow" if slow else "")


def _rows(line: CauseLine, now: Instant) -> Iterator[tuple[str, ...]]:
    """A cause, and below it what holds its group."""
    yield _row(line, now)
    group = line.group
    if group is not None:
        until = "" if group.until is None else moment(group.until, now)
        yield "", f"   {group.in_words(until, moment(group.since, now))}", "", "", ""


def _row(line: CauseLine, now: Instant) -> tuple[str, ...]:
    next_try = "now" if line.next_at is None or line.next_at <= now else moment(line.next_at, now)
    return (
        f"{line.count:>5}",
        line.cause,
        moment(line.since, now),
        next_try,
        moment(line.gives_up_at, now),
    )


def _print_group(config: Config, group: str, limit: int, *, as_json: bool) -> int:
    folder = config.data_dir / "spool"
    lines = look_at_group(folder, group, limit)
    if as_json:
        print_json_list("messages", ({**_line_json(line), "mx_group": group} for line in lines))
        return ExitCode.OK if lines else ExitCode.NOT_FOUND
    if not lines:
        known = sorted(groups(folder).items(), key=lambda item: -item[1])[:10]
        names = ", ".join(name for name, _ in known if name) or "none"
        fail(
            ExitCode.NOT_FOUND, f"nothing waits for {group!r}; groups that mail waits for: {names}"
        )
    now = SystemClock().now()
    print_table(
        ("trace", "from", "to", "since", "next try", "tries", "last reply"),
        (_line_row(line, now) for line in lines),
    )
    if len(lines) == limit:
        say(f"the first {limit}; more: --limit")
    return ExitCode.OK


def _line_json(line: DeliveryLine) -> dict[str, str | int | None]:
    found: dict[str, str | int | None] = asdict(line)
    found["since"] = rfc3339(line.since)
    found["next_at"] = None if line.next_at is None else rfc3339(line.next_at)
    found["gives_up_at"] = rfc3339(line.gives_up_at)
    return found


def _line_row(line: DeliveryLine, now: Instant) -> Sequence[str]:
    if line.next_at is None:
        next_try = line.state
    else:
        next_try = "now" if line.next_at <= now else moment(line.next_at, now)
    return (
        line.trace,
        line.mail_from or "<>",
        line.to,
        moment(line.since, now),
        next_try,
        str(line.tries),
        line.last_reply[:80],
    )


add_actions(app)
add_suspension(app)
