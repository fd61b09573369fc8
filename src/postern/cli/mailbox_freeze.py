"""``postern mailbox freeze`` and ``thaw``: an account that may send nothing for now."""

from typing import Annotated

import typer

from postern.cli.durations import seconds_of
from postern.cli.output import JsonFlag, JsonObject, print_json, say
from postern.cli.site import author, granted, open_site
from postern.config.load import load
from postern.directory.freezes import Freeze
from postern.directory.store.freezes import FreezeStore
from postern.directory.store.site import SiteStore
from postern.queue.request import Action, MailFilter, Request
from postern.queue.store.requests import RequestStore
from postern.runtime.clock import SystemClock, rfc3339
from postern.runtime.lock import is_served

_IDLE = "The server is not running, so what waits is left as it is; once it runs"

Name = Annotated[str, typer.Argument(metavar="ADDRESS", help="Such as wang@harbour.example.")]


def freeze(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; its owner is told this by his program.")],
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Ends by itself: 24h, 7d.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take nothing more that an account sends, and hold what waits of it; it goes on receiving.

    postern mailbox freeze wang@harbour.example --reason "ticket 812: password stolen"
    """
    lasts_s = None if lasts is None else seconds_of(lasts, "--for")
    with open_site() as site:
        made = granted(_store(site).freeze(name, lasts_s=lasts_s, reason=reason.strip()))
        _ask(site, made, Action.HOLD)
        is_running = is_served(load(None).data_dir)
    if as_json:
        print_json({"action": "frozen", "freeze": _fields(made)})
        return
    if made.is_new:
        say(f"{made.account} sends nothing from now on ({made.label}); what waits of it is held.")
    else:
        by, end = made.temporary.author, made.temporary.until
        when = "" if end is None else f" until {rfc3339(end)}"
        say(f"{made.account} is frozen already{when} ({made.label}, by {by}); that stays as it is.")
    if not is_running:
        say(f"{_IDLE}: postern queue hold --account {made.account}")
        return
    say(f"See it: postern queue hold --account {made.account} --dry-run")
    say(f"Undo: postern mailbox thaw {made.account}")


def thaw(
    name: Name,
    keep_held: Annotated[
        bool, typer.Option("--keep-held", help="What was held stays so; look at it first.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let an account send again, and what was held of it go."""
    with open_site() as site:
        ended = granted(_store(site).thaw(name))
        if not keep_held:
            _ask(site, ended, Action.RELEASE)
        is_running = is_served(load(None).data_dir)
    if as_json:
        print_json({"action": "thawed", "freeze": _fields(ended)})
        return
    say(f"{ended.account} may send again.")
    if not (keep_held or is_running):
        say(f"{_IDLE}: postern queue release --account {ended.account}")
    if keep_held:
        say(f"What is held of it stays: postern queue release --account {ended.account}")


def _ask(site: SiteStore, freeze: Freeze, action: Action) -> None:
    """All workers do it within a second; where none runs within a minute nobody does."""
    clock = SystemClock()
    whose = MailFilter(account=str(freeze.account))
    RequestStore(site.database).add(Request(0, clock.now(), author(), action, whose))


def _store(site: SiteStore) -> FreezeStore:
    return FreezeStore(site.database, SystemClock(), author())


def _fields(freeze: Freeze) -> JsonObject:
    made = freeze.temporary
    return {
        "id": freeze.label,
        "account": str(freeze.account),
        "reason": made.reason,
        "author": made.author,
        "created_at": rfc3339(made.created_at),
        "until": None if made.until is None else rfc3339(made.until),
    }
