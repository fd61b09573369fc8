"""``postern route``: which group's or domain's mail leaves through which egress, until when."""

from shlex import quote
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
    print_table,
    say,
)
from postern.cli.route_outlook import Outlook, is_known_group, outlook
from postern.cli.site import author, granted, open_site
from postern.config.load import load
from postern.config.settings import Config
from postern.directory.model import Refused
from postern.directory.store.site import SiteStore
from postern.mail.address import to_a_labels
from postern.mail.route import RELAY_GROUP
from postern.routing.control.controller import WITHOUT_RELAY
from postern.routing.group import LOCAL
from postern.routing.routes.route import GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.store import RouteDraft, RouteStore
from postern.routing.settings import DIRECT
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Which mail leaves through which egress, for a time.",
    epilog="When Postern engages a relay by itself, and how relays are set up: docs/relay.md",
    no_args_is_help=True,
)

SHOWN_DOMAINS = 5
DEFAULT = "default"


@app.command()
def add(
    via: Annotated[
        str,
        typer.Option("--via", metavar="EGRESS", help="Name of an [[egress]], or direct."),
    ],
    group: Annotated[
        str | None, typer.Option("--mx-group", metavar="G", help="All domains of this MX group.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="D", help="This recipient's domain alone.")
    ] = None,
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Ends by itself: 24h, 14d, 2w.")
    ] = "14d",
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it in a year.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would touch; change nothing.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="For a group that no mail has gone to yet.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send mail through an egress first; what that cannot take goes the usual way.

    postern route add --mx-group google --via us1 --for 14d --reason "25/tcp blocked"

    postern route add --domain tea-trading.example --via us1 --reason "ticket 812" --dry-run
    """
    config = load(None)
    lasts_s = seconds_of(lasts, "--for")
    draft = _draft(group, domain, via, reason, lasts_s)
    _check_egress(config, via)
    if draft.match is RouteMatch.GROUP:
        _check_outside(draft.value)
    with open_site() as site:
        if draft.match is RouteMatch.DOMAIN:
            _check_not_ours(site, draft.value)
        seen = outlook(config, draft, site.domain_names(SHOWN_DOMAINS * 4))
        if not seen.is_known and not anyway:
            hint = f"; groups: {', '.join(seen.groups)}" if seen.groups else ""
            fail(
                ExitCode.NOT_FOUND,
                f"no mail has gone to an MX group named {draft.value!r}{hint}; --anyway makes it",
            )
        if not as_json:
            _say_outlook(draft, seen)
        if dry_run:
            if as_json:
                print_json({"action": "none", "would_touch": _outlook_fields(seen)})
            return
        made, before = granted(_store(site).add(draft))
    for one in before:
        note(f"{one.label} ({_in_words(one)}) ended: this is in its place")
    if as_json:
        fields = {"route": _fields(made), "touches": _outlook_fields(seen)}
        print_json({"action": "added", **fields})
        return
    say(f"Made {made.label} {_until(made)}: {_in_words(made)}.")
    say(f"It holds from now on, and what waits goes now; undo: postern route end {made.label}")


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Routes that hold now, those that Postern made among them, and policies."""
    config = load(None)
    with open_site() as site:
        found, policies = _store(site).all(), _store(site).policies()
    if as_json:
        print_json(
            {
                "routes": [_fields(one) for one in found],
                "default_policy": config.paths.relay,
                "policies": [_policy_fields(one) for one in policies],
            }
        )
        return
    names = {egress.name for egress in config.egresses} | {DIRECT}
    print_table(
        ("ID", "FOR", "VIA", "UNTIL", "MADE BY", "REASON"),
        (
            (
                one.label,
                _mail(one),
                one.via if one.via in names else f"{one.via} (not in postern.toml: of no use)",
                _until(one).removeprefix("until "),
                "postern, by itself" if one.is_automatic else one.temporary.author,
                one.temporary.reason,
            )
            for one in found
        ),
    )
    for policy in policies:
        say(f"{policy.group}: relays {_POLICY_WORDS[policy.policy]} ({policy.author})")
    say(f"All other groups: relays {_POLICY_WORDS[Policy(config.paths.relay)]} ([paths] relay).")


@app.command()
def end(
    label: Annotated[str, typer.Argument(metavar="ID", help="As listed: R2.")],
    as_json: JsonFlag = False,
) -> None:
    """Let that mail go the usual way again; the route stays on record.

    A relay that Postern had engaged is not engaged again for a day, unless it is asked to:
    postern route policy GROUP automatic
    """
    with open_site() as site:
        ended = granted(_store(site).end(label))
    if as_json:
        print_json({"action": "ended", "route": _fields(ended)})
        return
    say(f"Ended {ended.label}: {_in_words(ended)}.")
    if ended.is_automatic:
        say(
            f"Mail for {ended.value} goes direct for a day, whatever happens, or until:"
            f" postern route policy {quote(ended.value)} automatic"
        )


@app.command()
def policy(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="An MX group.")],
    word: Annotated[
        str,
        typer.Argument(metavar="POLICY", help="automatic, propose, never, or default."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Say what Postern may do by itself when this group is blocked.

    automatic: engage a relay and take it back. propose: show the command in `postern paths` and
    `postern queue`. never: nothing, and take back what it engaged. default: as [paths] relay says.
    """
    words = {one.value: one for one in Policy}
    if word not in {*words, DEFAULT}:
        fail(ExitCode.USAGE, f"{word!r}: write one of {', '.join((*words, DEFAULT))}")
    _check_outside(group)
    with open_site() as site:
        made = granted(_store(site).set_policy(group, words.get(word)))
    if word != DEFAULT and not is_known_group(load(None), group):
        note(f"no mail has gone to an MX group named {group!r} yet; groups: postern paths")
    if as_json:
        print_json({"action": "set", "policy": None if made is None else _policy_fields(made)})
    elif made is None:
        say(f"{group}: as [paths] relay says.")
    else:
        say(f"{group}: relays {_POLICY_WORDS[made.policy]}.")


_POLICY_WORDS = {
    Policy.AUTOMATIC: "are engaged automatically",
    Policy.PROPOSE: "are proposed",
    Policy.NEVER: "are never engaged",
}


def _draft(
    group: str | None, domain: str | None, via: str, reason: str, lasts_s: float
) -> RouteDraft:
    """What was asked for, or the end of the command: no match at all would be all mail."""
    if (group is None) == (domain is None):
        fail(ExitCode.USAGE, "say which mail: one of --mx-group and --domain")
    if not reason.strip():
        fail(ExitCode.USAGE, '--reason is needed, such as "25/tcp blocked since 09:02"')
    if group is not None:
        if not group.strip():
            fail(ExitCode.USAGE, "--mx-group is empty, which would be all mail")
        return RouteDraft(RouteMatch.GROUP, group.strip(), via, reason, lasts_s)
    name = to_a_labels((domain or "").strip().removeprefix("@").removesuffix("."))
    if name is None:
        fail(ExitCode.USAGE, f"{domain!r} is not a domain, such as tea-trading.example")
    return RouteDraft(RouteMatch.DOMAIN, name, via, reason, lasts_s)


def _check_egress(config: Config, via: str) -> None:
    names = [egress.name for egress in config.egresses]
    if via not in {*names, DIRECT}:
        known = f"there are {', '.join(names)}" if names else "add an [[egress]]"
        fail(ExitCode.USAGE, f"postern.toml has no [[egress]] named {via!r}; {known}")


def _check_outside(group: str) -> None:
    """A route for what takes none would be listed, and do nothing."""
    if group == LOCAL or group.startswith((RELAY_GROUP, *WITHOUT_RELAY)):
        fail(
            ExitCode.PROBLEM,
            f"{group} takes no route: somebody wrote down that host, or its mailboxes are here",
        )


def _check_not_ours(site: SiteStore, domain: str) -> None:
    if not isinstance(site.domain(domain), Refused):
        fail(ExitCode.PROBLEM, f"{domain} is one of our own domains: its mail takes no relay")


def _say_outlook(draft: RouteDraft, seen: Outlook) -> None:
    domains = f"{seen.domains} domain{'' if seen.domains == 1 else 's'}"
    more = f", such as {', '.join(seen.examples)}" if seen.examples else ""
    waiting = f"{seen.waiting} waiting message{'' if seen.waiting == 1 else 's'}"
    if draft.match is RouteMatch.GROUP:
        say(f"{draft.value}: {domains} known{more}; {waiting}.")
    else:
        say(f"{draft.value}: {waiting}.")
    for doubt in seen.doubts:
        say(f"! {doubt}")


def _outlook_fields(seen: Outlook) -> JsonObject:
    return {
        "domains": seen.domains,
        "examples": list(seen.examples),
        "waiting": seen.waiting,
        "doubts": list(seen.doubts),
    }


def _store(site: SiteStore) -> RouteStore:
    return RouteStore(site.database, SystemClock(), author())


def _mail(route: PinnedRoute) -> str:
    return route.value if route.match is RouteMatch.GROUP else f"@{route.value}"


def _in_words(route: PinnedRoute) -> str:
    return f"mail for {_mail(route)} leaves through {route.via} first"


def _until(route: PinnedRoute) -> str:
    return "without an end" if route.until is None else f"until {rfc3339(route.until)[:10]}"


def _fields(route: PinnedRoute) -> JsonObject:
    made = route.temporary
    return {
        "id": route.label,
        "match": route.match.value,
        "value": route.value,
        "via": route.via,
        "automatic": route.is_automatic,
        "state": made.standing(SystemClock().now()).value,
        "reason": made.reason,
        "author": made.author,
        "created_at": rfc3339(made.created_at),
        "until": None if made.until is None else rfc3339(made.until),
    }


def _policy_fields(one: GroupPolicy) -> JsonObject:
    return {
        "mx_group": one.group,
        "policy": one.policy.value,
        "author": one.author,
        "set_at": rfc3339(one.set_at),
    }
