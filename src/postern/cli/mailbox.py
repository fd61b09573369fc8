"""``postern mailbox``: who has mail here."""

import getpass
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from postern.cli.correspondents import known
from postern.cli.mailbox_freeze import freeze, thaw
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
from postern.cli.site import granted, open_site
from postern.cli.sizes import Quota, quota_patch, read_size, size_text, used_text
from postern.cli.usage import Usages, note_elsewhere
from postern.directory.model import KEEP, Mailbox, MailboxPatch
from postern.directory.names import home_path
from postern.directory.passwords import MAX_PASSWORD_BYTES, hash_password
from postern.policy.store import end_rules_of
from postern.runtime.clock import rfc3339

app = typer.Typer(help="Mailboxes: who has mail here, and may log in.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ADDRESS", help="Such as wang@harbour.example.")]
PasswordFlag = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input, one line."),
]
QuotaOption = Annotated[
    str | None,
    typer.Option(
        "--quota",
        metavar="SIZE",
        help="The most it may hold: 500M, 5G, none. Full: new mail is refused for now.",
    ),
]


@app.command()
def add(
    name: Name,
    password_stdin: PasswordFlag = False,
    quota: QuotaOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a mailbox; without a password it receives, and nobody can log in.

    echo 'a long password' | postern mailbox add wang@harbour.example --password-stdin --quota 5G
    """
    size = read_size(quota) if quota is not None else Quota.UNLIMITED
    password_hash = _read_password() if password_stdin else None
    with open_site() as site:
        mailbox = granted(
            site.add_mailbox(name, password_hash, None if size is Quota.UNLIMITED else size)
        )
    if as_json:
        print_json({"action": "added", "mailbox": _fields(mailbox)})
    else:
        say(f"Added {mailbox.address}; mail to it is accepted from now on.")
    if quota is not None and mailbox.quota_bytes is not None:
        note_elsewhere()
    if password_hash is None:
        note(
            "it has no password, so nobody can log in until: postern mailbox set "
            f"{mailbox.address} --password-stdin"
        )


@app.command("list")
def list_(
    domain: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="Only those of this domain.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Mailboxes by domain and name; what is used is told where a limit has it measured."""
    with open_site() as site:
        found = granted(site.mailboxes(domain))
        if as_json:
            usages = Usages()
            print_json_list(
                "mailboxes",
                ({**_fields(one), "used_bytes": _used(usages, one)} for one in found),
            )
            return
        print_table(("MAILBOX", "QUOTA", "USED", "STATE"), _rows(found))


def _rows(mailboxes: Iterator[Mailbox]) -> Iterator[tuple[str, str, str, str]]:
    usages = Usages()
    for mailbox in mailboxes:
        used = used_text(_used(usages, mailbox))
        quota = size_text(mailbox.quota_bytes)
        yield str(mailbox.address), quota, used, _state(mailbox)


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """One mailbox."""
    with open_site() as site:
        mailbox = granted(site.mailbox(name))
        reached_by = site.senders_to(mailbox.address)
    used = Usages().of(mailbox.address, count_all=True)
    if as_json:
        fields = {**_fields(mailbox), "used_bytes": used, "reached_by": reached_by}
        print_json({"mailbox": fields})
        return
    address = mailbox.address
    print_facts(
        str(address),
        [
            ("state", _state(mailbox)),
            ("quota", size_text(mailbox.quota_bytes)),
            ("used", used_text(used)),
            ("folder", f"mail/{home_path(address.domain, address.local)}/Maildir"),
            ("also from", ", ".join(reached_by) or "no alias"),
            ("since", rfc3339(mailbox.created_at)),
        ],
    )


@app.command("set")
def set_(
    name: Name,
    password_stdin: PasswordFlag = False,
    quota: QuotaOption = None,
    enable: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Off: mail is refused, nobody can log in."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change a mailbox; all that is given holds, or nothing."""
    patch = MailboxPatch(
        password_hash=_read_password() if password_stdin else KEEP,
        quota_bytes=quota_patch(quota),
        enabled=KEEP if enable is None else enable,
    )
    if patch == MailboxPatch():
        fail(ExitCode.USAGE, "nothing to change; see: postern mailbox set --help")
    with open_site() as site:
        mailbox = granted(site.set_mailbox(name, patch))
    if as_json:
        print_json({"action": "set", "mailbox": _fields(mailbox)})
    else:
        say(f"Changed {mailbox.address}; it holds from now on.")
    if quota is not None and mailbox.quota_bytes is not None:
        note_elsewhere()


@app.command()
def remove(name: Name, as_json: JsonFlag = False) -> None:
    """Remove a mailbox; new mail is refused, what it holds stays on disk."""
    with open_site() as site:
        mailbox = granted(site.remove_mailbox(name, end_rules_of))
        dangling = site.senders_to(mailbox.address)
    if as_json:
        print_json({"action": "removed", "mailbox": _fields(mailbox), "reached_by": dangling})
    else:
        say(f"Removed {mailbox.address}; its mail stays on disk.")
    if dangling:
        note(f"these still lead to it: {', '.join(dangling)}")


app.command()(freeze)
app.command()(thaw)


@app.command("known")
def known_(
    name: Name,
    forget: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Let this one be a stranger again.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Whom it has written to: held instead of refused, and never greylisted."""
    known(name, forget, as_json=as_json)


def _read_password() -> str:
    """The hash of the password on standard input; a person at a terminal is asked, unseen."""
    if sys.stdin.isatty():
        text = getpass.getpass("Password: ")
    else:
        line = sys.stdin.buffer.readline(MAX_PASSWORD_BYTES + 3)
        try:
            text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            fail(ExitCode.USAGE, "the password on standard input is not UTF-8")
    hashed = hash_password(text)
    if hashed is None:
        fail(
            ExitCode.USAGE,
            "the password on standard input is empty, has control characters, or is longer than "
            f"{MAX_PASSWORD_BYTES} bytes",
        )
    return hashed


def _state(mailbox: Mailbox) -> str:
    if not mailbox.enabled:
        return "off"
    return "on" if mailbox.password_hash else "on, no password"


def _fields(mailbox: Mailbox) -> JsonObject:
    return {
        "address": str(mailbox.address),
        "enabled": mailbox.enabled,
        "has_password": mailbox.password_hash is not None,
        "quota_bytes": mailbox.quota_bytes,
        "created_at": rfc3339(mailbox.created_at),
    }


def _used(usages: Usages, mailbox: Mailbox) -> int | None:
    return usages.of(mailbox.address, count_all=mailbox.quota_bytes is not None)
