"""``postern quarantine``: mail that rules and checks hold for their owners."""

import sys
from collections.abc import Iterable, Mapping, Sequence
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
    print_facts,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.quarantine_rule import allow_sender
from postern.cli.quarantine_stay import Stay, stays_of
from postern.cli.site import address_of, author, directory_of, open_site
from postern.cli.workers import ask_workers, check_served
from postern.config.load import load
from postern.directory.names import key_of, read_domain
from postern.directory.store.site import SiteStore
from postern.mail.address import Address, parse_address
from postern.queue.quarantine import HeldMail, held_mail
from postern.queue.request import Action, Answer, MailFilter, Options, Request
from postern.queue.store.requests import RequestStore
from postern.runtime.clock import Instant, SystemClock, rfc3339

app = typer.Typer(
    help="Mail that rules and checks hold for their owners: look at it, release it, delete it.",
    no_args_is_help=True,
)

_DONE = {Action.RELEASE: "released", Action.CANCEL: "deleted"}

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As listed: PT-7Q2M-K4XD.1.")]
Mailbox = Annotated[str, typer.Option("--mailbox", metavar="M", help="Of one mailbox.")]
Domain = Annotated[str, typer.Option("--domain", metavar="D", help="Of one domain.")]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="SENDER", help="From an address or @domain, as shown or as sent."
    ),
]
Allow = Annotated[
    str,
    typer.Option(
        "--allow", metavar="TIME", help="Let that sender through from now on, such as for 30d."
    ),
]
AcceptVirus = Annotated[
    bool,
    typer.Option("--i-accept-a-virus", help="Release even what a virus was found in."),
]
AcceptUnscanned = Annotated[
    bool,
    typer.Option("--unscanned", help="Release even what could not be scanned for viruses."),
]


@app.command("list")
def list_(
    mailbox: Mailbox = "", domain: Domain = "", sender: From = "", as_json: JsonFlag = False
) -> None:
    """What is held, and why."""
    found = _from(_wanted(held_mail(load(None).data_dir / "spool"), mailbox, domain), sender)
    stays = stays_of(found)
    if as_json:
        print_json_list("held", (_fields(mail, stays[mail.key]) for mail in found))
        return
    print_table(
        ("ID", "SINCE", "KEPT UNTIL", "LEAVES BY", "FOR", "FROM", "SUBJECT", "BECAUSE"),
        (
            (
                mail.id,
                rfc3339(mail.held_at)[:16],
                stays[mail.key].safe_text,
                stays[mail.key].until_text,
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
    stays = stays_of(found)
    if as_json:
        print_json_list(
            "held",
            (
                {
                    **_fields(mail, stays[mail.key]),
                    "told_at": _moment(stays[mail.key].told_at),
                }
                for mail in found
            ),
        )
        return
    for mail in found:
        stay = stays[mail.key]
        print_facts(
            mail.id,
            [
                ("for", str(mail.mailbox)),
                ("from", mail.from_header or "-"),
                ("sender", f"{mail.mail_from or '<>'} ({_proof(mail)})"),
                ("server", mail.client_ip or "-"),
                ("subject", mail.subject or "-"),
                ("size", f"{mail.size_bytes:,} bytes"),
                ("since", rfc3339(mail.held_at)),
                ("kept until", stay.safe_text),
                ("leaves by", stay.until_text),
                ("owner told", _moment(stay.told_at) or "not yet"),
                ("because", f"{mail.because.text} ({mail.because.check})"),
                ("found", ", ".join(mail.failed) or "nothing"),
                ("rule", mail.rule or "-"),
                ("all steps", f"postern why {mail.trace}"),
            ],
        )


def _proof(mail: HeldMail) -> str:
    return "proven by SPF or DKIM" if mail.is_proven else "not proven; anyone may have written this"


@app.command()
def release(
    ids: Ids,
    allow: Allow = "",
    accept_virus: AcceptVirus = False,
    accept_unscanned: AcceptUnscanned = False,
    as_json: JsonFlag = False,
) -> int:
    """Deliver held mail, into the inbox; with --allow let its sender through from now on.

    postern quarantine release PT-7Q2M-K4XD.1 --allow 30d
    """
    lasts_s = seconds_of(allow, "--allow") if allow else None
    found = _named(ids)
    infected = [mail.id for mail in found if mail.is_infected]
    if infected and not accept_virus:
        fail(
            ExitCode.PROBLEM,
            f"a virus was found in {', '.join(infected)}; nothing was released. Whoever answers for"
            " it releases it with --i-accept-a-virus, and is on record",
        )
    unscanned = [mail.id for mail in found if mail.is_unscanned]
    if unscanned and not accept_unscanned:
        fail(
            ExitCode.PROBLEM,
            f"{', '.join(unscanned)} could not be scanned for viruses; nothing was released."
            " --unscanned releases it as it is: it is not scanned again",
        )
    options = Options(accepts_virus=accept_virus, accepts_unscanned=accept_unscanned)
    return _carry_out(Action.RELEASE, found, options, lasts_s, as_json=as_json)


@app.command()
def delete(ids: Ids, as_json: JsonFlag = False) -> int:
    """Throw held mail away; its sender is not told."""
    return _carry_out(Action.CANCEL, _named(ids), Options(silent=True), None, as_json=as_json)


class _Fate(Enum):
    """What became of one copy: done; in other hands; nobody could say; not held any more."""

    DONE = "done"
    BUSY = "busy"
    UNTOLD = "untold"
    GONE = "gone"


_NOT_DONE = {
    _Fate.BUSY: "in other hands at this moment and left alone; ask again",
    _Fate.UNTOLD: "a worker gave no answer, or could not go on; look at it and ask again",
    _Fate.GONE: "no longer held",
}


def _carry_out(
    action: Action,
    found: Sequence[HeldMail],
    options: Options,
    lasts_s: float | None,
    *,
    as_json: bool,
) -> int:
    """Ask for each copy by itself, and say at once what was done: whoever interrupts knows."""
    config = load(None)
    check_served(config)
    fates: dict[_Fate, list[str]] = {fate: [] for fate in _Fate}
    rules: list[str] = []
    with open_site() as site:
        store = RequestStore(site.database)
        try:
            for mail in found:
                wanted = MailFilter(numbers=(mail.number,), quarantined=True, nth=mail.nth)
                asked_at = SystemClock().now()
                request = Request(0, asked_at, author(), action, wanted, options, dry_run=False)
                fate = _fate_of(*ask_workers(store, request, config))
                fates[fate].append(mail.id)
                if fate is not _Fate.DONE:
                    continue
                if lasts_s is not None:
                    rules += _let_through(site, mail, lasts_s)
                if not as_json:
                    say(f"{mail.id} {_DONE[action]}")
                    sys.stdout.flush()
                if action is Action.RELEASE:
                    _warn_if_gone(site, mail)
        finally:
            _sum_up(action, fates, rules, as_json=as_json)
    if fates[_Fate.BUSY] or fates[_Fate.UNTOLD]:
        return ExitCode.TEMPORARY
    return ExitCode.NOT_FOUND if fates[_Fate.GONE] else ExitCode.OK


def _warn_if_gone(site: SiteStore, mail: HeldMail) -> None:
    directory = directory_of(site)
    domain = directory.domain(mail.mailbox.domain)
    is_ours = domain is not None and not domain.is_gateway
    if is_ours and directory.mailbox_of(mail.mailbox) is None:
        gone = f"there is no mailbox {mail.mailbox} (any more)"
        note(f"{mail.id}: {gone}; what cannot be delivered is held again")


def _fate_of(answers: Sequence[Answer], silent_ones: Sequence[int]) -> _Fate:
    tallies = [answer.tally for answer in answers]
    if any(tally.count for tally in tallies):
        return _Fate.DONE
    if any(tally.busy for tally in tallies):
        return _Fate.BUSY
    if silent_ones or any(tally.error for tally in tallies):
        return _Fate.UNTOLD
    return _Fate.GONE


def _sum_up(
    action: Action, fates: Mapping[_Fate, list[str]], rules: list[str], *, as_json: bool
) -> None:
    done = fates[_Fate.DONE]
    for fate, text in _NOT_DONE.items():
        if fates[fate]:
            note(f"{', '.join(fates[fate])}: {text}")
    if not as_json:
        say(f"{len(done)} {_DONE[action]}")
        return
    print_json(
        {
            "action": _DONE[action],
            "ids": done,
            "busy": len(fates[_Fate.BUSY]),
            "not_done": [name for fate in _NOT_DONE for name in fates[fate]],
            "rules": rules,
        }
    )


def _let_through(site: SiteStore, mail: HeldMail, lasts_s: float) -> list[str]:
    """A rule for its sender; the label. What could not be made is said."""
    made = allow_sender(site, mail, lasts_s)
    note(f"{mail.id}: {made.text}")
    return [made.label] if made.label else []


def _wanted(found: Iterable[HeldMail], mailbox: str, domain: str) -> list[HeldMail]:
    if mailbox and domain:
        fail(ExitCode.USAGE, "give --mailbox or --domain, not both")
    if mailbox:
        wanted = key_of(address_of(mailbox))
        with open_site() as site:
            directory = directory_of(site)  # mail to a tag is its mailbox's
            return [mail for mail in found if directory.owner_of(mail.mailbox) == wanted]
    name = _domain(domain) if domain else ""
    return [mail for mail in found if not name or mail.mailbox.domain == name]


def _from(found: list[HeldMail], sender: str) -> list[HeldMail]:
    """Those whose shown or envelope sender is ``sender``: an address, @domain, or <>."""
    if not sender:
        return found
    if sender == "<>":
        return [mail for mail in found if not mail.mail_from]
    if sender.startswith("@"):
        name = _domain(sender[1:])
        return [mail for mail in found if name in {a.domain for a in _senders(mail)}]
    wanted = address_of(sender).key
    return [mail for mail in found if wanted in {a.key for a in _senders(mail)}]


def _senders(mail: HeldMail) -> list[Address]:
    texts = (mail.mail_from, mail.from_header)
    return [address for text in texts if (address := parse_address(text)) is not None]


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


def _moment(at: Instant | None) -> str | None:
    return rfc3339(at) if at else None


def _fields(mail: HeldMail, stay: Stay) -> JsonObject:
    return {
        "id": mail.id,
        "at": rfc3339(mail.held_at),
        "mailbox": str(mail.mailbox),
        "owner": mail.owner,
        "mail_from": mail.mail_from,
        "from": mail.from_header,
        "client_ip": mail.client_ip,
        "subject": mail.subject,
        "size": mail.size_bytes,
        "because": {"check": mail.because.check, "text": mail.because.text},
        "found": list(mail.failed),
        "rule": mail.rule or None,
        "kept_until": _moment(stay.safe_until),
        "until": _moment(stay.until),
    }
