"""``postern resolver``: zones that are looked up through another resolver than home."""

from typing import Annotated

import typer

from postern.cli.durations import seconds_of
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
from postern.cli.site import author, granted, open_site
from postern.config.load import load
from postern.config.settings import Config
from postern.directory.store.site import SiteStore
from postern.mail.address import to_a_labels
from postern.routing.zones.store import ForwardZoneStore, StoredZone
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Zones that are looked up through another resolver first, for a time.",
    no_args_is_help=True,
)


@app.command()
def add(
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="It and all names below it.")],
    via: Annotated[
        str, typer.Option("--via", metavar="NAME", help="Name of a [[resolver]] in postern.toml.")
    ],
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Ends by itself: 24h, 30d, 2w.")
    ] = "30d",
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it in a year.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Look a zone up through another resolver first; home is asked when that couldn't tell.

    postern resolver add tea-trading.example --via us1 --for 30d --reason "ticket 812"
    """
    _check(load(None), zone, via)
    lasts_s = seconds_of(lasts, "--for")
    why = reason.strip() or "no reason was given"
    with open_site() as site:
        made, before = granted(_store(site).add(zone, via, lasts_s=lasts_s, reason=why))
    for one in before:
        note(f"{one.label} ({one.forward.zone} via {one.forward.via}) ended: this is in its place")
    if as_json:
        print_json({"action": "added", "resolver": _fields(made)})
        return
    say(f"Added {made.label} {_until(made)}: {_in_words(made)}.")
    say(f"It holds from now on; undo: postern resolver end {made.label}")


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Zones that are looked up through another resolver now."""
    names = {resolver.name for resolver in load(None).resolvers}
    with open_site() as site:
        found = _store(site).all()
    if as_json:
        print_json_list("resolvers", map(_fields, found))
        return
    print_table(
        ("ID", "ZONE", "VIA", "UNTIL", "USED", "LAST", "BY", "REASON"),
        (
            (
                stored.label,
                stored.forward.zone,
                _via(stored, names),
                _until(stored).removeprefix("until "),
                str(stored.temporary.hits),
                _day(stored.temporary.last_used_at),
                stored.temporary.author,
                stored.temporary.reason,
            )
            for stored in found
        ),
    )


@app.command()
def end(
    label: Annotated[str, typer.Argument(metavar="ID", help="As listed: Z2.")],
    as_json: JsonFlag = False,
) -> None:
    """Ask home first for that zone again; it stays on record."""
    with open_site() as site:
        ended = granted(_store(site).end(label))
    if as_json:
        print_json({"action": "ended", "resolver": _fields(ended)})
    else:
        say(f"Ended {ended.label}: {_in_words(ended)}.")


def _check(config: Config, zone: str, via: str) -> None:
    """End the command where the configuration does not allow it."""
    names = [resolver.name for resolver in config.resolvers]
    if via not in names:
        known = f"there are {', '.join(names)}" if names else "add a [[resolver]]"
        fail(ExitCode.USAGE, f"postern.toml has no resolver named {via!r}; {known}")
    if via == names[0]:
        fail(ExitCode.USAGE, f"{via!r} is home, which is asked first for every zone anyway")
    name = to_a_labels(zone.strip().removesuffix(".")) or ""
    for blocklist in config.blocklists:
        if name == blocklist.zone or name.endswith(f".{blocklist.zone}"):
            fail(
                ExitCode.PROBLEM,
                f"{blocklist.zone} is a block list: it answers by who asks, so home alone asks it",
            )


def _store(site: SiteStore) -> ForwardZoneStore:
    return ForwardZoneStore(site.database, SystemClock(), author())


def _in_words(stored: StoredZone) -> str:
    return f"{stored.forward.zone} and all below it is looked up through {stored.forward.via} first"


def _via(stored: StoredZone, names: set[str]) -> str:
    via = stored.forward.via
    return via if via in names else f"{via} (not in postern.toml: of no use)"


def _until(stored: StoredZone) -> str:
    until = stored.forward.until
    return "without an end" if until is None else f"until {rfc3339(until)[:10]}"


def _day(moment: float | None) -> str:
    return "never" if moment is None else rfc3339(moment)[:10]


def _fields(stored: StoredZone) -> JsonObject:
    forward, temporary = stored.forward, stored.temporary
    return {
        "id": stored.label,
        "zone": forward.zone,
        "via": forward.via,
        "reason": temporary.reason,
        "author": temporary.author,
        "created_at": rfc3339(temporary.created_at),
        "until": None if forward.until is None else rfc3339(forward.until),
        "hits": temporary.hits,
        "last_used_at": None if temporary.last_used_at is None else rfc3339(temporary.last_used_at),
    }
