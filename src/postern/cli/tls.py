"""``postern tls``: where mail goes in clear for a time, and whose mail must be encrypted."""

from typing import Annotated, Literal

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
from postern.cli.site import author, granted, open_site
from postern.config.load import load
from postern.config.settings import Config
from postern.directory.store.site import SiteStore
from postern.mail.route import TlsPolicy
from postern.routing.tls.domains.policy import DomainPolicy
from postern.routing.tls.domains.store import TlsDomainStore
from postern.routing.tls.exemptions.exemption import Exemption
from postern.routing.tls.exemptions.store import ExemptionDraft, ExemptionStore
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Addresses that mail goes to in clear for a time; domains whose mail must be encrypted.",
    no_args_is_help=True,
)

NOBODY = frozenset({"cli:root", "cli:postern"})
"""Authors that are no names of persons."""


@app.command()
def exempt(
    ip: Annotated[str, typer.Argument(metavar="IP", help="The address of the mail host.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it in a year.")],
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Ends by itself: 24h, 7d, 2w.")
    ] = "7d",
    insists: Annotated[
        bool,
        typer.Option(
            "--i-accept-cleartext",
            help="Also where a domain served there has DANE or MTA-STS; your name is kept.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let mail to one address go in clear, until TLS works there again or the time is over.

    postern tls exempt 203.0.113.7 --for 7d --reason "STARTTLS stalls, ticket 812"

    Mail that its sender, or `postern tls require`, wants encrypted is never sent there in clear.

    Exit: 2 a domain served there asks for TLS.
    """
    lasts_s = seconds_of(lasts, "--for")
    if insists and author() in NOBODY:
        fail(
            ExitCode.PROBLEM,
            f"{author()} is nobody's name: whoever accepts clear text signs in as himself (sudo)",
        )
    with open_site() as site:
        made, before = granted(_exemptions(site).add(ExemptionDraft(ip, reason, lasts_s, insists)))
    for one in before:
        note(f"{one.label} ({one.ip}) ended: this is in its place")
    if as_json:
        print_json({"action": "added", "exemption": _exemption_fields(made)})
        return
    say(f"Added {made.label} until {_day(made)}: mail to {made.ip} is not encrypted on this hop.")
    if insists:
        say(f"{author()} accepts clear text there, whatever domains ask; it ends at its date.")
    else:
        say("TLS is tested there daily; the exemption ends by itself when it works again.")
    say(f"It holds from now on; undo: postern tls end {made.label}")


@app.command()
def require(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="Of recipients elsewhere.")],
    policy: Annotated[
        Literal["opportunistic", "encrypt", "verify"],
        typer.Argument(
            help="encrypt: never in clear; verify: to hosts whose certificate is theirs;"
            " opportunistic: as their domain asks."
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it in a year.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask for TLS for a domain's mail, whatever the domain asks for itself.

    postern tls require tea-trading.example verify --reason "contract 2026-118"

    What can't have it waits, says so in `postern queue`, and comes back at its expiry.
    """
    with open_site() as site:
        made = granted(_domains(site).require(domain, TlsPolicy(policy), reason))
    if as_json:
        print_json({"action": "required", "domain": _domain_fields(made)})
        return
    say(f"{made.domain}: {_in_words(made.policy)}. It holds from now on.")
    if made.policy is not TlsPolicy.OPPORTUNISTIC and (relay := _usual_relay(load(None))):
        note(f"but all mail leaves through {relay}, and what TLS it has from there is up to it")


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Addresses exempted from TLS, and domains whose mail must be encrypted."""
    with open_site() as site:
        exemptions, domains = _exemptions(site).all(), _domains(site).all()
    if as_json:
        print_json(
            {
                "exemptions": [_exemption_fields(one) for one in exemptions],
                "domains": [_domain_fields(one) for one in domains],
            }
        )
        return
    if not exemptions and not domains:
        say("No address is exempted from TLS, and no domain has a rule of its own.")
    if exemptions:
        print_table(
            ("ID", "ADDRESS", "HOST", "UNTIL", "USED", "LAST TEST", "BY", "REASON"),
            (
                (
                    one.label,
                    one.ip,
                    one.place.host or "-",
                    _day(one),
                    str(one.temporary.hits),
                    last_test(one),
                    one.temporary.author + (", accepts clear text" if one.insists else ""),
                    one.temporary.reason,
                )
                for one in exemptions
            ),
        )
    if domains:
        print_table(
            ("DOMAIN", "TLS", "SINCE", "BY", "REASON"),
            (
                (one.domain, one.policy.value, rfc3339(one.set_at)[:10], one.author, one.reason)
                for one in domains
            ),
        )


@app.command()
def end(
    label: Annotated[str, typer.Argument(metavar="ID", help="As listed: X2.")],
    as_json: JsonFlag = False,
) -> None:
    """Try TLS at that address again from now on; the exemption stays on record."""
    with open_site() as site:
        ended = granted(_exemptions(site).end(label))
    if as_json:
        print_json({"action": "ended", "exemption": _exemption_fields(ended)})
    else:
        say(f"Ended {ended.label}: mail to {ended.ip} is encrypted where its server offers it.")


def _usual_relay(config: Config) -> str:
    """The egress that takes all mail, where that is a relay; else nothing."""
    wanted = config.delivery.egress
    usual = [one for one in config.egresses if not wanted or one.name == wanted][:1]
    return "".join(one.name for one in usual if one.relay)


def last_test(one: Exemption) -> str:
    """What the last test of TLS found, and when."""
    tests = one.tests
    if tests.at is None:
        return "not yet" if not one.insists else "not tested"
    return f"{rfc3339(tests.at)[:10]}: {tests.text}"


def _exemptions(site: SiteStore) -> ExemptionStore:
    return ExemptionStore(site.database, SystemClock(), author())


def _domains(site: SiteStore) -> TlsDomainStore:
    return TlsDomainStore(site.database, SystemClock(), author())


def _in_words(policy: TlsPolicy) -> str:
    match policy:
        case TlsPolicy.ENCRYPT:
            return "mail is sent encrypted, or waits"
        case TlsPolicy.VERIFY:
            return "mail is sent encrypted to hosts whose certificate is theirs, or waits"
        case _:
            return "mail is sent as their domain asks, encrypted where their server offers it"


def _day(one: Exemption) -> str:
    until = one.temporary.until
    return "no end" if until is None else rfc3339(until)[:10]


def _moment(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _exemption_fields(one: Exemption) -> JsonObject:
    made, tests = one.temporary, one.tests
    return {
        "id": one.label,
        "address": one.ip,
        "host": one.place.host,
        "reason": made.reason,
        "author": made.author,
        "learned": one.is_learned,
        "accepts_cleartext": one.insists,
        "created_at": rfc3339(made.created_at),
        "until": _moment(made.until),
        "hits": made.hits,
        "last_used_at": _moment(made.last_used_at),
        "test": {"at": _moment(tests.at), "good": tests.good, "text": tests.text},
    }


def _domain_fields(one: DomainPolicy) -> JsonObject:
    return {
        "domain": one.domain,
        "tls": one.policy.value,
        "reason": one.reason,
        "author": one.author,
        "set_at": rfc3339(one.set_at),
    }
