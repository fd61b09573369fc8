"""``postern temporary``: every exception anybody made, and whether it is still needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

import typer

from postern.cli.output import JsonFlag, JsonObject, print_json_list, print_table
from postern.cli.site import author, open_site
from postern.cli.steered import steered
from postern.config.load import load
from postern.directory.store.freezes import FreezeStore
from postern.directory.store.site import SiteStore
from postern.journal.days import DAY_S
from postern.journal.decisions import DecisionReader
from postern.measures.temporary import IDLE_S, Standing, Temporary
from postern.policy.needed import StillNeeded, still_needed
from postern.policy.preview import DAYS
from postern.policy.replay import Replay
from postern.policy.rules.change import Ended
from postern.policy.rules.rule import Action
from postern.policy.rules.store import Books, RuleStore, StoredRule
from postern.policy.store import inventory
from postern.policy.wording import place_in_words, rule_in_words
from postern.queue.store.suspensions import SuspensionStore
from postern.routing.routes.route import RouteMatch
from postern.routing.tls.exemptions.exemption import Exemption
from postern.routing.tls.exemptions.store import ExemptionStore
from postern.routing.zones.store import ForwardZoneStore
from postern.runtime.clock import Clock, SystemClock, rfc3339

app = typer.Typer(
    help="Exceptions that somebody made: why, until when, and whether they are still needed.",
    no_args_is_help=True,
)

TESTS_S = 10.0
"""So long the mail of the last days is judged again; what is left then is not tested this time."""
IDLE_DAYS = int(IDLE_S // DAY_S)


@dataclass(frozen=True, slots=True)
class _Line:
    """One exception. ``proposal``: why it could be ended, in words; empty: nothing speaks for it.

    ``undo`` is the command that ends it; ``needed`` None: it was not tested on mail of the past;
    ``tested``: what the server's own tests say, in words.
    """

    id: str
    what: str
    place: str
    temporary: Temporary
    needed: StillNeeded | None
    proposal: str
    undo: str
    tested: str = ""


@app.callback()
def temporary() -> None:
    """Exceptions that somebody made: why, until when, and whether they are still needed."""


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """All that hold now, with what speaks for ending them."""
    with open_site() as site:
        lines = [*_rules(site), *_zones(site), *_routes(), *_freezes(site)]
        lines += [*_suspensions(site), *_exemptions(site)]
    if as_json:
        print_json_list("temporaries", map(_fields, lines))
        return
    print_table(
        ("ID", "KIND", "WHAT", "FOR", "UNTIL", "USED", "LAST", "BY", "REASON", "STILL NEEDED?"),
        (
            (
                line.id,
                line.temporary.kind.value,
                line.what,
                line.place,
                _day(line.temporary.until, "no end"),
                str(line.temporary.hits),
                _day(line.temporary.last_used_at, "never"),
                line.temporary.author,
                line.temporary.reason,
                _still_needed(line),
            )
            for line in lines
        ),
    )


# --- rules ----------------------------------------------------------------------------------------


def _rules(site: SiteStore) -> Iterator[_Line]:
    clock = SystemClock()
    now = clock.now()
    books = Books(site.database, clock)
    stock = inventory(site.database, now)
    reader = DecisionReader(load(None).data_dir / "journal")
    deadline = clock.monotonic() + TESTS_S
    for stored in RuleStore(site.database, clock, author()).all():
        needed = None
        if stored.rule.action is Action.ALLOW and clock.monotonic() < deadline:
            replay = Replay(books, Ended(stored.rule), stock, now)
            needed = still_needed(reader, replay, stored.rule, now - DAYS * DAY_S)
        yield _line(stored, needed, clock)


def _line(stored: StoredRule, needed: StillNeeded | None, clock: Clock) -> _Line:
    rule, made = stored.rule, stored.temporary
    proposal = ""
    if made.standing(clock.now()) is Standing.IDLE:
        proposal = f"not used in {IDLE_DAYS} days"
    elif needed is not None and needed.can_end:
        proposal = f"{_anyway(needed)} would have passed anyway"
    return _Line(
        rule.label,
        rule_in_words(rule),
        place_in_words(rule),
        made,
        needed,
        proposal,
        f"postern rule end {rule.label}",
    )


# --- zones looked up another way ------------------------------------------------------------------


def _zones(site: SiteStore) -> Iterator[_Line]:
    clock = SystemClock()
    for stored in ForwardZoneStore(site.database, clock, author()).all():
        made, forward = stored.temporary, stored.forward
        is_idle = made.standing(clock.now()) is Standing.IDLE
        yield _Line(
            stored.label,
            f"look {forward.zone} up through {forward.via} first",
            "everybody",
            made,
            None,
            f"not used in {IDLE_DAYS} days" if is_idle else "",
            f"postern resolver end {stored.label}",
        )


# --- addresses exempted from TLS ------------------------------------------------------------------


def _exemptions(site: SiteStore) -> Iterator[_Line]:
    """Each is tested again by the server, and ended by it; so there is nothing to propose."""
    for one in ExemptionStore(site.database, SystemClock(), author()).all():
        host = f" ({one.place.host})" if one.place.host else ""
        yield _Line(
            one.label,
            f"mail to {one.ip}{host} goes unencrypted",
            "everybody",
            one.temporary,
            None,
            "",
            f"postern tls end {one.label}",
            tested=_tested(one),
        )


def _tested(one: Exemption) -> str:
    tests = one.tests
    if one.insists:
        return "not tested: somebody insists on it"
    if tests.at is None:
        return "not tested yet"
    at = _day(tests.at, "")
    return f"perhaps not, {at}: {tests.text}" if tests.good else f"yes, {at}: {tests.text}"


# --- routes ---------------------------------------------------------------------------------------


def _routes() -> Iterator[_Line]:
    clock = SystemClock()
    how = steered(load(None))
    for route in how.routes:
        made = route.temporary
        is_idle = made.standing(clock.now()) is Standing.IDLE
        mail = route.value if route.match is RouteMatch.GROUP else f"@{route.value}"
        taken_back = " (tested, and taken back by itself)" if route.is_automatic else ""
        yield _Line(
            route.label,
            f"mail for {mail} through {route.via}{taken_back}",
            "everybody",
            made,
            None,
            f"not used in {IDLE_DAYS} days" if is_idle else "",
            f"postern route end {route.label}",
            tested=how.is_needed(route),
        )


# --- accounts that may send nothing ---------------------------------------------------------------


def _freezes(site: SiteStore) -> Iterator[_Line]:
    clock = SystemClock()
    for freeze in FreezeStore(site.database, clock, author()).all():
        account, made = freeze.account, freeze.temporary
        undo = f"postern mailbox thaw {account}"
        what = f"{account} sends nothing"
        is_idle = made.standing(clock.now()) is Standing.IDLE
        proposal = f"frozen for {IDLE_DAYS} days" if is_idle else ""
        yield _Line(freeze.label, what, str(account), made, None, proposal, undo)


# --- groups whose mail waits ----------------------------------------------------------------------


def _suspensions(site: SiteStore) -> Iterator[_Line]:
    for stored in SuspensionStore(site.database, SystemClock(), author()).all():
        yield _Line(
            stored.label,
            f"try nothing of {stored.group}",
            "everybody",
            stored.temporary,
            None,
            "",
            f"postern queue resume --group {quote(stored.group)}",
        )


def _anyway(needed: StillNeeded) -> str:
    return f"{needed.anyway} of the last {needed.mails}"


# --- showing --------------------------------------------------------------------------------------


def _still_needed(line: _Line) -> str:
    if line.proposal:
        return f"{line.proposal}: end it? {line.undo}"
    if line.tested:
        return line.tested
    needed = line.needed
    if needed is None or not needed.mails:
        return ""
    if needed.anyway == needed.mails:
        return f"perhaps not: {_anyway(needed)} would have passed anyway"
    return f"yes: {needed.mails - needed.anyway} of the last {needed.mails} needed it"


def _fields(line: _Line) -> JsonObject:
    made, needed = line.temporary, line.needed
    return {
        "id": line.id,
        "kind": made.kind.value,
        "what": line.what,
        "place": line.place,
        "reason": made.reason,
        "owner": made.author,
        "created_at": rfc3339(made.created_at),
        "until": None if made.until is None else rfc3339(made.until),
        "hits": made.hits,
        "last_hit": None if made.last_used_at is None else rfc3339(made.last_used_at),
        "needed": None
        if needed is None
        else {"mails": needed.mails, "would_have_passed": needed.anyway},
        "tested": line.tested or None,
        "proposal": line.proposal or None,
        "undo": line.undo,
    }


def _day(moment: float | None, otherwise: str) -> str:
    return otherwise if moment is None else rfc3339(moment)[:10]
