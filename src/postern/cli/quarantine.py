"""``postern quarantine``: mail that rules and checks hold for their owners."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from postern.cli.output import (
    ExitCode,
    JsonFlag,
    JsonObject,
    fail,
    note,
    print_facts,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.site import address_of, author, directory_of, open_site
from postern.cli.workers import ask_workers, check_served
from postern.config.load import load
from postern.directory.names import key_of, read_domain
from postern.directory.reader import Directory
from postern.mail.address import Address
from postern.queue.quarantine import HeldMail, held_mail
from postern.queue.request import Action, MailFilter, Options, Request
from postern.queue.store import RequestStore
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Mail that rules and checks hold for their owners: look at it, release it, delete it.",
    no_args_is_help=True,
)

_DONE = {Action.RELEASE: "released", Action.CANCEL: "deleted"}

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As listed: PT-7Q2M-K4XD.1.")]
Mailbox = Annotated[str, typer.Option("--mailbox", metavar="M", help="Of one mailbox.")]
Domain = Annotated[str, typer.Option("--domain", metavar="D", help="Of one domain.")]


@app.command("list")
def list_(mailbox: Mailbox = "", domain: Domain = "", as_json: JsonFlag = False) -> None:
    """What is held, and why."""
    found = _wanted(held_mail(load(None).data_dir / "spool"), mailbox, domain)
    if as_json:
        print_json_list("held", map(_fields, found))
        return
    print_table(
        ("ID", "SINCE", "FOR", "FROM", "SUBJECT", "BECAUSE"),
        (
            (
                mail.id,
                rfc3339(mail.held_at)[:16],
                str(mail.mailbox),
                mail.from_header or mail.mail_from or "<>",
                mail.subject,
                f"{mail.because.text} ({mail.because.check})",
            )
            for mail in found
        ),
    )


@app.command()
def show(ids: Ids, as_json: JsonFlag = False) -> None:
    """All that is known of held mail."""
    found = _named(ids)
    if as_json:
        print_json_list("held", map(_fields, found))
        return
    for mail in found:
        print_facts(
            mail.id,
            [
                ("for", str(mail.mailbox)),
                ("from", mail.from_header or "-"),
                ("sender", mail.mail_from or "<>"),
                ("subject", mail.subject or "-"),
                ("size", f"{mail.size_bytes:,} bytes"),
                ("since", rfc3339(mail.held_at)),
                ("because", f"{mail.because.text} ({mail.because.check})"),
                ("rule", mail.rule or "-"),
                ("all steps", f"postern why {mail.trace}"),
            ],
        )


@app.command()
def release(ids: Ids, as_json: JsonFlag = False) -> int:
    """Deliver held mail, into the inbox.

    postern quarantine release PT-7Q2M-K4XD.1
    """
    return _carry_out(Action.RELEASE, ids, as_json=as_json)


@app.command()
def delete(ids: Ids, as_json: JsonFlag = False) -> int:
    """Throw held mail away; its sender is not told."""
    return _carry_out(Action.CANCEL, ids, as_json=as_json)


def _carry_out(action: Action, ids: Sequence[str], *, as_json: bool) -> int:
    """Ask for each copy by itself; what was done is told once."""
    config = load(None)
    found = _named(ids)
    check_served(config)
    done, busy, silent = [], 0, False
    with open_site() as site:
        store = RequestStore(site.database)
        for mail in found:
            wanted = MailFilter(numbers=(mail.number,), quarantined=True, nth=mail.nth)
            request = Request(
                0,
                SystemClock().now(),
                author(),
                action,
                wanted,
                Options(silent=action is Action.CANCEL),
                dry_run=False,
            )
            answers, silent_ones = ask_workers(store, request, config)
            silent = silent or bool(silent_ones)
            busy += sum(answer.tally.busy for answer in answers)
            if any(answer.tally.count for answer in answers):
                done.append(mail.id)
    if as_json:
        print_json({"action": _DONE[action], "ids": done, "busy": busy})
    else:
        say(f"{len(done)} {_DONE[action]}")
    if silent:
        note("a worker gave no answer; what is not told above was not done")
        return ExitCode.TEMPORARY
    return ExitCode.OK if len(done) == len(found) else ExitCode.NOT_FOUND


def _wanted(found: Iterable[HeldMail], mailbox: str, domain: str) -> list[HeldMail]:
    if mailbox and domain:
        fail(ExitCode.USAGE, "give --mailbox or --domain, not both")
    if mailbox:
        wanted = key_of(address_of(mailbox))
        with open_site() as site:
            directory = directory_of(site)  # mail to a tag is its mailbox's
            return [mail for mail in found if _owner(mail, directory) == wanted]
    name = _domain(domain) if domain else ""
    return [mail for mail in found if not name or mail.mailbox.domain == name]


def _owner(mail: HeldMail, directory: Directory) -> Address:
    owner = directory.mailbox_of(mail.mailbox)
    return key_of(mail.mailbox) if owner is None else owner.address


def _domain(text: str) -> str:
    name = read_domain(text)
    if name is None:
        fail(ExitCode.USAGE, f"{text!r} is not a domain, such as harbour.example")
    return name


def _named(ids: Sequence[str]) -> list[HeldMail]:
    """The copies of these names, or the end of the command: nothing is done to half of them."""
    held = {mail.id: mail for mail in held_mail(load(None).data_dir / "spool")}
    names = [name.strip().upper() for name in ids]
    missing = [name for name in names if name not in held]
    if missing:
        fail(ExitCode.NOT_FOUND, f"nothing of that name is held: {', '.join(missing)}")
    return [held[name] for name in dict.fromkeys(names)]


def _fields(mail: HeldMail) -> JsonObject:
    return {
        "id": mail.id,
        "at": rfc3339(mail.held_at),
        "mailbox": str(mail.mailbox),
        "mail_from": mail.mail_from,
        "from": mail.from_header,
        "subject": mail.subject,
        "size": mail.size_bytes,
        "because": {"check": mail.because.check, "text": mail.because.text},
        "rule": mail.rule or None,
        "until": None,
    }
