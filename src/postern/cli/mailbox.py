"""``postern mailbox``: who has mail here."""

import getpass
import re
import sys
from enum import Enum
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
from postern.cli.site import granted, open_site
from postern.directory.model import KEEP, Keep, Mailbox, MailboxPatch
from postern.directory.names import home_path
from postern.directory.passwords import MAX_PASSWORD_BYTES, hash_password
from postern.policy.rules.store import end_rules_of
from postern.runtime.clock import rfc3339

app = typer.Typer(help="Mailboxes: who has mail here, and may log in.", no_args_is_help=True)

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MAX_QUOTA_BYTES = 1 << 62
_SIZE = re.compile(r"([0-9]{1,19})([KMGT]?)(?:I?B)?")


class Quota(Enum):
    """What ``--quota none`` means, apart from no ``--quota`` at all."""

    UNLIMITED = "none"


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
        help="The most it may hold: 500M, 5G, none. Stored; not enforced yet.",
    ),
]

QUOTA_NOTE = "the quota is stored; it is not enforced yet"


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
    size = _read_size(quota) if quota is not None else Quota.UNLIMITED
    password_hash = _read_password() if password_stdin else None
    with open_site() as site:
        mailbox = granted(
            site.add_mailbox(name, password_hash, None if size is Quota.UNLIMITED else size)
        )
    if as_json:
        print_json({"action": "added", "mailbox": _fields(mailbox)})
    else:
        say(f"Added {mailbox.address}; mail to it is accepted from now on.")
    if mailbox.quota_bytes is not None:
        note(QUOTA_NOTE)
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
    """Mailboxes by domain and name."""
    with open_site() as site:
        found = granted(site.mailboxes(domain))
        if as_json:
            print_json_list("mailboxes", map(_fields, found))
            return
        print_table(
            ("MAILBOX", "QUOTA", "STATE"),
            (
                (str(mailbox.address), _size_text(mailbox.quota_bytes), _state(mailbox))
                for mailbox in found
            ),
        )


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """One mailbox."""
    with open_site() as site:
        mailbox = granted(site.mailbox(name))
        reached_by = site.senders_to(mailbox.address)
    if as_json:
        print_json({"mailbox": {**_fields(mailbox), "reached_by": reached_by}})
        return
    address = mailbox.address
    print_facts(
        str(address),
        [
            ("state", _state(mailbox)),
            ("quota", _size_text(mailbox.quota_bytes)),
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
        quota_bytes=_quota_patch(quota),
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
        note(QUOTA_NOTE)


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


def _quota_patch(text: str | None) -> int | Keep | None:
    if text is None:
        return KEEP
    size = _read_size(text)
    return None if size is Quota.UNLIMITED else size


def _read_size(text: str) -> int | Quota:
    """``5G`` in bytes; K, M, G and T are powers of 1,024."""
    word = text.strip().upper()
    if word == "NONE":
        return Quota.UNLIMITED
    found = _SIZE.fullmatch(word)
    size = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < size <= MAX_QUOTA_BYTES:
        fail(ExitCode.USAGE, f"{text!r} is not a size, such as 500M, 5G or none")
    return size


def _size_text(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "none"
    for unit in "TGMK":
        if size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)


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
