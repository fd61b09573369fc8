"""``postern rule``: what becomes of mail, for everybody, one domain, or one mailbox."""

from dataclasses import replace
from enum import Enum
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
from postern.cli.rule_explain import explain_rules
from postern.cli.rule_preview import Tried, ask_first, show_preview
from postern.cli.site import address_of, author, granted, open_site
from postern.directory.names import key_of, read_domain
from postern.directory.store.site import SiteStore
from postern.measures.temporary import Standing
from postern.policy.rules.book import Book
from postern.policy.rules.change import Added, Ended, Treated
from postern.policy.rules.draft import Draft, treatment_flaw
from postern.policy.rules.match import Match, MatchFlaw, parse_match
from postern.policy.rules.rule import Action, Scope, Treatment
from postern.policy.rules.store import Books, RuleStore, StoredRule
from postern.policy.shadow import shadows
from postern.policy.store import tried as tried_rule
from postern.policy.wording import place_in_words, rule_in_words, treatment_in_words
from postern.runtime.clock import SystemClock, rfc3339


class Wanted(Enum):
    """The words for how a check is treated."""

    OFF = "off"
    NOTE = "note"
    JUNK = "junk"
    HOLD = "hold"
    REFUSE = "refuse"
    DEFAULT = "default"


app = typer.Typer(
    help="What becomes of mail: let through, block, hold, put into Junk; and why.",
    no_args_is_help=True,
)

About = Annotated[
    str,
    typer.Argument(
        metavar="MATCH",
        help="An address, @domain, @*.domain, an IP or CIDR, helo:NAME, ptr:NAME, list:ID, "
        "known, or all.",
    ),
]
DomainOption = Annotated[str, typer.Option("--domain", metavar="D", help="For one domain.")]
MailboxOption = Annotated[str, typer.Option("--mailbox", metavar="M", help="For one mailbox.")]
Waive = Annotated[
    str, typer.Option(metavar="CHECK,...", help="Only these checks: spf,dnsbl; else all.")
]
Unproven = Annotated[
    bool, typer.Option("--unproven", help="Also when neither SPF nor DKIM proves the sender.")
]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="Ends by itself: 24h, 14d, 2w.")]
Label = Annotated[str, typer.Argument(metavar="ID", help="As listed: D2.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever finds it in a year.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what it would have done to the last 30 days.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, also when much changes.")]


@app.command()
def allow(
    match: About,
    reason: Reason = "",
    domain: DomainOption = "",
    mailbox: MailboxOption = "",
    waive: Waive = "",
    unproven: Unproven = False,
    lasts: For = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Let mail through that checks would stop.

    postern rule allow 198.51.100.24 --waive mailfrom --for 14d --reason "ticket 812"
    """
    names = frozenset(name.strip() for name in waive.split(",") if name.strip())
    draft = _draft(Action.ALLOW, match, reason, domain, mailbox, lasts)
    wanted = replace(draft, waives=names, unproven=unproven)
    _add(wanted, lasts, dry_run=dry_run, yes=yes, as_json=as_json)


def _offer(action: Action, text: str) -> None:
    """Make the command of an action that has no options of its own; ``text`` is its help."""

    def command(
        match: About,
        reason: Reason = "",
        domain: DomainOption = "",
        mailbox: MailboxOption = "",
        lasts: For = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: JsonFlag = False,
    ) -> None:
        draft = _draft(action, match, reason, domain, mailbox, lasts)
        _add(draft, lasts, dry_run=dry_run, yes=yes, as_json=as_json)

    app.command(action.value, help=text)(command)


_offer(
    Action.BLOCK,
    """Refuse mail.

    postern rule block @offers.example --mailbox wang@harbour.example --reason "never asked for it"
    """,
)
_offer(Action.HOLD, "Keep mail back until somebody looks at it: postern quarantine list.")
_offer(Action.JUNK, "Put mail into the Junk folder.")


@app.command("list")
def list_(
    domain: DomainOption = "", mailbox: MailboxOption = "", as_json: JsonFlag = False
) -> None:
    """Rules that hold now; those of one domain or mailbox, or all."""
    scope, place = _scope(domain, mailbox)
    with open_site() as site:
        store = _store(site)
        everything = scope is Scope.SYSTEM
        found = store.all() if everything else store.of_place(scope, place)
    if as_json:
        print_json_list("rules", map(_fields, found))
        return
    print_table(
        ("ID", "RULE", "FOR", "UNTIL", "USED", "LAST", "BY", "REASON"),
        (
            (
                stored.rule.label,
                rule_in_words(stored.rule),
                place_in_words(stored.rule),
                _until(stored),
                str(stored.temporary.hits),
                _day(stored.temporary.last_used_at, "never"),
                stored.temporary.author,
                stored.temporary.reason,
            )
            for stored in found
        ),
    )


@app.command()
def end(
    label: Annotated[str, typer.Argument(metavar="ID", help="As listed: D2.")],
    dry_run: DryRun = False,
    as_json: JsonFlag = False,
) -> None:
    """End a rule, such as D2; it stays on record."""
    with open_site() as site:
        if dry_run:
            stored = _store(site).labelled(label)
            if stored is None:
                fail(ExitCode.NOT_FOUND, f"there is no rule {label}; see: postern rule list")
            show_preview(site, Tried(Ended(stored.rule)), as_json=as_json)
            return
        ended = granted(_store(site).end(label))
    if as_json:
        print_json({"action": "ended", "rule": _fields(ended)})
    else:
        say(f"Ended {ended.rule.label}: {rule_in_words(ended.rule)}.")


@app.command()
def system(
    check: Annotated[str, typer.Argument(metavar="CHECK", help="Such as ptr.missing.")],
    wanted: Annotated[
        Wanted, typer.Argument(metavar="TREATMENT", help="What its fail leads to; default: unset.")
    ],
    domain: DomainOption = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Set what a check's fail leads to, for everybody or one domain.

    postern rule system spf.fail refuse --domain harbour.example
    postern rule system virus.couldnt-tell hold
    postern rule system spf.fail default --domain harbour.example
    """
    treatment = None if wanted is Wanted.DEFAULT else Treatment(wanted.value)
    with open_site() as site:
        tried = Tried(_treated(site, check, treatment, domain))
        if dry_run:
            show_preview(site, tried, as_json=as_json)
            return
        ask_first(site, tried, yes=yes)
        name = granted(_store(site).treat(check, treatment, domain))
    if as_json:
        print_json(
            {"action": "set", "check": check, "treatment": wanted.value, "domain": name or None}
        )
    else:
        where = f"for {name}" if name else "for everybody"
        said = "as by default" if treatment is None else treatment_in_words(check, treatment)
        say(f"{check}: {said}, {where}; it holds from now on.")


@app.command()
def explain(
    mailbox: Annotated[str, typer.Argument(metavar="MAILBOX", help="An address of ours.")],
    sender: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="Whom the mail is from.")
    ] = "",
    ip: Annotated[str, typer.Option("--ip", help="The server that hands it in.")] = "",
    helo: Annotated[str, typer.Option("--helo", help="What that server calls itself.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Every check as it stands for one mailbox, and which rule decides.

    postern rule explain wang@harbour.example --from li@tea-trading.example --ip 198.51.100.24
    """
    explain_rules(mailbox, sender, ip, helo, as_json=as_json)


# --- adding ---------------------------------------------------------------------------------------


def _draft(action: Action, about: str, reason: str, domain: str, mailbox: str, lasts: str) -> Draft:
    """What was typed, or the end of the command where it cannot be read."""
    scope, place = _scope(domain, mailbox)
    lasts_s = seconds_of(lasts, "--for") if lasts else None
    return Draft(action, _match(about), scope, place, reason, lasts_s=lasts_s)


def _treated(site: SiteStore, check: str, treatment: Treatment | None, domain: str) -> Treated:
    """The change, or the end of the command where it cannot be had."""
    flaw = treatment_flaw(check, treatment)
    if flaw:
        fail(ExitCode.PROBLEM, flaw)
    return Treated(check, treatment, granted(site.domain(domain)).domain.name if domain else "")


def _add(draft: Draft, lasts: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    reason = draft.reason
    if dry_run and not reason:
        draft = replace(draft, reason="a dry run")  # nothing is made that anybody might find
    elif not reason:
        fail(ExitCode.USAGE, "a rule needs a reason, for whoever finds it in a year: --reason TEXT")
    with open_site() as site:
        clock = SystemClock()
        store = _store(site)
        tried = Tried(Added(granted(tried_rule(site.database, draft, clock.now()))), reason, lasts)
        if dry_run:
            show_preview(site, tried, as_json=as_json)
            return
        ask_first(site, tried, yes=yes)
        made = granted(store.add(draft))
        beside = shadows(made.rule, _book_without(site, made), clock.now())
    for text in beside:
        note(f"{made.rule.label}: {text}")
    if as_json:
        print_json({"action": "added", "rule": _fields(made)})
        return
    until = "" if made.rule.until is None else f" until {rfc3339(made.rule.until)}"
    say(f"Added {made.rule.label}{until}: {rule_in_words(made.rule)}.")
    say(f"It holds for {place_in_words(made.rule)}; undo: postern rule end {made.rule.label}")


def _book_without(site: SiteStore, made: StoredRule) -> Book:
    """The rules that stand beside a new one, from its own scope outwards."""
    rule = made.rule
    return Books(site.database, SystemClock()).for_place(rule.scope, rule.place).without(rule)


def _match(text: str) -> Match:
    match = parse_match(text)
    if isinstance(match, MatchFlaw):
        fail(ExitCode.USAGE, match.text)
    return match


def _scope(domain: str, mailbox: str) -> tuple[Scope, str]:
    """Whose rule it is, in the one spelling of that domain or mailbox."""
    if domain and mailbox:
        fail(ExitCode.USAGE, "give --domain or --mailbox, not both")
    if mailbox:
        return Scope.MAILBOX, str(key_of(address_of(mailbox)))
    if not domain:
        return Scope.SYSTEM, ""
    name = read_domain(domain)
    if name is None:
        fail(ExitCode.USAGE, f"{domain!r} is not a domain, such as harbour.example")
    return Scope.DOMAIN, name


# --- showing --------------------------------------------------------------------------------------


def _store(site: SiteStore) -> RuleStore:
    return RuleStore(site.database, SystemClock(), author())


def _fields(stored: StoredRule) -> JsonObject:
    rule, temporary = stored.rule, stored.temporary
    return {
        "id": rule.label,
        "scope": rule.scope.name.lower(),
        "place": rule.place or None,
        "effect": rule.action.value,
        "match": str(rule.match),
        "waive": sorted(rule.waives),
        "unproven": rule.unproven,
        "reason": temporary.reason,
        "author": temporary.author,
        "created_at": rfc3339(temporary.created_at),
        "until": None if rule.until is None else rfc3339(rule.until),
        "hits": temporary.hits,
        "last_hit": None if temporary.last_used_at is None else rfc3339(temporary.last_used_at),
        "idle": temporary.standing(SystemClock().now()) is Standing.IDLE,
    }


def _until(stored: StoredRule) -> str:
    if stored.rule.until is not None:
        return _day(stored.rule.until, "")
    is_idle = stored.temporary.standing(SystemClock().now()) is Standing.IDLE
    return "no end; unused for 60 days: end it?" if is_idle else "no end"


def _day(moment: float | None, otherwise: str) -> str:
    return otherwise if moment is None else rfc3339(moment)[:10]
