"""``postern queue suspend|resume``: a whole MX group waits, because a person said so."""

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from postern.cli.durations import seconds_of
from postern.cli.output import ExitCode, JsonFlag, JsonObject, fail, note, print_json, say
from postern.cli.workers import ask_workers
from postern.config.load import load
from postern.config.settings import Config
from postern.queue.request import Action, MailFilter, Request
from postern.queue.suspension import group_named
from postern.queue.view import groups
from postern.runtime.clock import SystemClock, rfc3339
from postern.runtime.lock import is_served

if TYPE_CHECKING:  # the SQL library takes a third of a second to load
    from postern.directory.store.site import SiteStore
    from postern.queue.store.suspensions import StoredSuspension, SuspensionStore

Group = Annotated[
    str, typer.Option("--group", metavar="G", help="The MX group, as `postern queue` names it.")
]


def add_suspension(app: typer.Typer) -> None:
    """Give ``postern queue`` these verbs."""
    app.command()(suspend)
    app.command()(resume)


def suspend(
    group: Group,
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it.")],
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Ends by itself: 30m, 2h, 3d; or never.")
    ] = "2h",
    as_json: JsonFlag = False,
) -> int:
    """Try nothing of an MX group for a time. Its mail waits; what expires is returned as ever.

    postern queue suspend --group google --for 2h --reason "they asked us to"
    """
    from postern.cli.site import granted, open_site  # noqa: PLC0415 - loads the SQL library

    config = load(None)
    lasts_s = None if lasts.strip().lower() == "never" else seconds_of(lasts, "--for")
    with open_site() as site:
        made, before = granted(_store(site).add(group, lasts_s=lasts_s, reason=reason))
        silent_ones = _told(site, config, Action.SUSPEND, made.group)[1]
    if before is not None:
        note(f"{before.label} ended: this is in its place")
    waiting = groups(config.data_dir / "spool").get(made.group, 0)
    if as_json:
        print_json({"action": "suspended", "waiting": waiting, "suspension": _fields(made)})
    else:
        until = made.temporary.until
        end = "until it is resumed" if until is None else f"until {rfc3339(until)[:16]} UTC"
        say(f"Suspended {made.label}: nothing of {made.group} is tried {end}; {waiting} wait now.")
        say(f"undo: postern queue resume --group {quote(made.group)}")
    return _code(silent_ones)


def resume(group: Group, as_json: JsonFlag = False) -> int:
    """Let the mail of a suspended MX group go again, paced, whoever suspended it.

    G may be the label of the suspension as well, such as Q1.
    """
    from postern.cli.site import open_site  # noqa: PLC0415 - loads the SQL library

    config = load(None)
    with open_site() as site:
        ended = _store(site).end(group)
        name = group_named(group) if ended is None else ended.group
        lifted, silent_ones = _told(site, config, Action.RESUME, name)
    if ended is None and not lifted:
        if silent_ones:
            return _code(silent_ones)
        fail(ExitCode.NOT_FOUND, f"{name} is not suspended; see: postern queue")
    if as_json:
        suspension = None if ended is None else _fields(ended)
        print_json({"action": "resumed", "mx_group": name, "suspension": suspension})
    else:
        label = "" if ended is None else f" {ended.label}"
        say(f"Resumed{label}: what waits for {name} goes now, slowly at first.")
    return _code(silent_ones)


def _store(site: "SiteStore") -> "SuspensionStore":
    from postern.cli.site import author  # noqa: PLC0415 - loads the SQL library
    from postern.queue.store.suspensions import SuspensionStore  # noqa: PLC0415 - as above

    return SuspensionStore(site.database, SystemClock(), author())


def _told(site: "SiteStore", config: Config, action: Action, group: str) -> tuple[int, list[int]]:
    """Have every running worker take it up: how many lifted one of their own, who was silent."""
    from postern.cli.site import author  # noqa: PLC0415 - loads the SQL library
    from postern.queue.store.requests import RequestStore  # noqa: PLC0415 - as above

    if not is_served(config.data_dir):
        return 0, []
    request = Request(0, SystemClock().now(), author(), action, MailFilter(group=group))
    answers, silent_ones = ask_workers(RequestStore(site.database), request, config)
    return sum(answer.tally.count for answer in answers), silent_ones


def _code(silent_ones: list[int]) -> int:
    if not silent_ones:
        return ExitCode.OK
    names = ", ".join(map(str, silent_ones))
    note(f"no answer yet from worker {names}; it takes this up with its next mail, or at its start")
    return ExitCode.TEMPORARY


def _fields(stored: "StoredSuspension") -> JsonObject:
    made = stored.temporary
    return {
        "id": stored.label,
        "mx_group": stored.group,
        "reason": made.reason,
        "owner": made.author,
        "created_at": rfc3339(made.created_at),
        "until": None if made.until is None else rfc3339(made.until),
    }
