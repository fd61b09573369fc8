"""``postern domain``: the domains we take mail for."""

from typing import Annotated

import typer

from postern.cli import dkim_record
from postern.cli.output import (
    ExitCode,
    JsonFlag,
    JsonObject,
    confirm,
    fail,
    print_facts,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.site import address_of, author, granted, open_site
from postern.cli.sizes import quota_patch, size_text
from postern.cli.usage import note_elsewhere
from postern.directory.dkim import DkimKey, new_rsa_key
from postern.directory.model import KEEP, Domain, DomainPatch, DomainSummary, HostPort, Keep
from postern.directory.names import read_host_port
from postern.directory.store.dkim import DkimStore
from postern.directory.store.site import SiteStore
from postern.directory.wording import contents
from postern.policy.store import end_rules_of
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Domains we take mail for, kept here or passed on to a customer's own server.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as harbour.example.")]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="HOST:PORT", help="Pass its mail on to this server; port 25 if not given."
    ),
]


@app.command()
def add(name: Name, to: To = None, as_json: JsonFlag = False) -> None:
    """Take mail for a domain.

    postern domain add harbour.example

    postern domain add customer.example --to mail.customer.example:25
    """
    gateway = None if to is None else _host_port(to)
    with open_site() as site:
        domain = granted(site.add_domain(name, gateway))
        key = None if domain.is_gateway else _key_for(site, domain)
    if as_json:
        made = {} if key is None else {"dkim": dkim_record.fields(key)}
        print_json({"action": "added", "domain": _fields(domain), **made})
        return
    if key is None:
        say(f"Added {domain.name}; its mail goes on to {_to_text(domain)}.")
        return
    say(f"Added {domain.name}; next: postern mailbox add NAME@{domain.name} --password-stdin")
    say("Its mail is signed (DKIM) once this record is seen in DNS:")
    dkim_record.print_record(key)


def _key_for(site: SiteStore, domain: Domain) -> DkimKey:
    """A first key: nothing has to be remembered later, and it harms nobody until it is seen."""
    store = DkimStore(site.database, SystemClock(), author())
    return granted(store.add(domain.name, new_rsa_key()))


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """All domains by name."""
    with open_site() as site:
        found = site.domains()
        if as_json:
            print_json_list("domains", map(_summary_fields, found))
            return
        print_table(
            ("DOMAIN", "MAILBOXES", "ALIASES", "CATCH-ALL", "MAIL"),
            (
                (
                    summary.domain.name,
                    str(summary.mailboxes),
                    str(summary.aliases),
                    str(summary.domain.catch_all or "-"),
                    _to_text(summary.domain) or "kept here",
                )
                for summary in found
            ),
        )


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """One domain."""
    with open_site() as site:
        summary = granted(site.domain(name))
    if as_json:
        print_json({"domain": _summary_fields(summary)})
        return
    domain = summary.domain
    separator = domain.separator
    tags = f"NAME{separator}TAG reaches NAME" if separator else "off"
    print_facts(
        domain.name,
        [
            ("mail", f"goes on to {_to_text(domain)}" if domain.is_gateway else "kept here"),
            ("mailboxes", str(summary.mailboxes)),
            ("aliases", str(summary.aliases)),
            ("catch-all", str(domain.catch_all or "none: unknown addresses are refused")),
            ("tags", tags),
            ("quota", size_text(domain.quota_bytes)),
            ("since", rfc3339(domain.created_at)),
        ],
    )


@app.command("set")
def set_(
    name: Name,
    to: To = None,
    here: Annotated[bool, typer.Option("--here", help="Keep its mail here.")] = False,
    catch_all: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Who gets mail for addresses that do not exist."),
    ] = None,
    no_catch_all: Annotated[
        bool, typer.Option("--no-catch-all", help="Refuse addresses that do not exist.")
    ] = False,
    separator: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="What stands between a name and its tag."),
    ] = None,
    no_separator: Annotated[
        bool, typer.Option("--no-separator", help="No tags: wang+shop is a name of its own.")
    ] = False,
    quota: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="The most all its mailboxes together may hold: 500M, 50G, none."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change a domain; all that is given holds, or nothing.

    postern domain set harbour.example --catch-all wang@harbour.example
    """
    _not_both("--to", to is not None, "--here", here)
    _not_both("--catch-all", catch_all is not None, "--no-catch-all", no_catch_all)
    _not_both("--separator", separator is not None, "--no-separator", no_separator)
    patch = DomainPatch(
        gateway=_host_port(to) if to is not None else _none_if(here),
        catch_all=address_of(catch_all) if catch_all is not None else _none_if(no_catch_all),
        separator=separator if separator is not None else _none_if(no_separator),
        quota_bytes=quota_patch(quota),
    )
    if patch == DomainPatch():
        fail(ExitCode.USAGE, "nothing to change; see: postern domain set --help")
    with open_site() as site:
        domain = granted(site.set_domain(name, patch))
    if as_json:
        print_json({"action": "set", "domain": _fields(domain)})
    else:
        say(f"Changed {domain.name}; it holds from now on.")
    if quota is not None and domain.quota_bytes is not None:
        note_elsewhere()


@app.command()
def remove(
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove its mailboxes and aliases too, without asking.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Stop taking mail for a domain. Mail that was delivered stays on disk."""
    with open_site() as site:
        summary = granted(site.domain(name))
        full = summary.mailboxes + summary.aliases > 0
        agreed = full and confirm(
            f"Remove {summary.domain.name} with {contents(summary.mailboxes, summary.aliases)}?",
            yes=yes,
        )
        removed = granted(site.remove_domain(name, end_rules_of, with_contents=agreed))
    if as_json:
        print_json({"action": "removed", "domain": _summary_fields(removed)})
    else:
        say(
            f"Removed {removed.domain.name} with {contents(removed.mailboxes, removed.aliases)}; "
            "mail delivered there stays on disk."
        )


def _host_port(text: str) -> HostPort:
    gateway = read_host_port(text)
    if gateway is None:
        fail(ExitCode.USAGE, f"{text!r} is not HOST:PORT, such as mail.customer.example:25")
    return gateway


def _none_if(given: bool) -> Keep | None:
    return None if given else KEEP


def _not_both(one: str, has_one: bool, other: str, has_other: bool) -> None:
    if has_one and has_other:
        fail(ExitCode.USAGE, f"{one} and {other} contradict each other; give one of them")


def _to_text(domain: Domain) -> str:
    host = domain.gateway_host
    if host is None:
        return ""
    return f"[{host}]:{domain.gateway_port}" if ":" in host else f"{host}:{domain.gateway_port}"


def _fields(domain: Domain) -> JsonObject:
    return {
        "name": domain.name,
        "to": _to_text(domain) or None,
        "catch_all": str(domain.catch_all) if domain.catch_all else None,
        "separator": domain.separator,
        "quota_bytes": domain.quota_bytes,
        "created_at": rfc3339(domain.created_at),
    }


def _summary_fields(summary: DomainSummary) -> JsonObject:
    return {
        **_fields(summary.domain),
        "mailboxes": summary.mailboxes,
        "aliases": summary.aliases,
    }
