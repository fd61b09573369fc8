"""``postern dkim``: the keys our domains' mail is signed with, and the records to publish."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from postern.cli.dkim_record import fields, print_record
from postern.cli.output import (
    ExitCode,
    JsonFlag,
    fail,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.site import author, granted, open_site
from postern.directory.dkim import (
    DEFAULT_RSA_BITS,
    DkimKey,
    KeyState,
    Published,
    look_up,
    new_ed25519_key,
    new_rsa_key,
)
from postern.directory.store.dkim import DkimStore
from postern.directory.store.site import SiteStore
from postern.mail.dkim.key import MAX_RSA_BITS
from postern.runtime.clock import SystemClock, rfc3339

app = typer.Typer(
    help="Keys that our domains' mail is signed with, and the DNS records they need.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as harbour.example.")]
Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="As listed: p2026a.")]

IN_WORDS = {
    Published.YES: "seen in DNS",
    Published.NO: "not in DNS yet",
    Published.OTHER: "DNS has another record there",
    Published.COULDNT_TELL: "couldn't tell: DNS does not answer",
}
_EXIT = {
    Published.YES: ExitCode.OK,
    Published.NO: ExitCode.WARNING,
    Published.OTHER: ExitCode.PROBLEM,
    Published.COULDNT_TELL: ExitCode.COULDNT_TELL,
}


@app.command()
def add(
    name: Name,
    selector: Annotated[
        str, typer.Option(metavar="NAME", help="Its name in DNS; p2026a and so on if not given.")
    ] = "",
    ed25519: Annotated[
        bool, typer.Option("--ed25519", help="A small, fast key beside an RSA one (RFC 8463).")
    ] = False,
    bits: Annotated[
        int, typer.Option(min=DEFAULT_RSA_BITS, max=MAX_RSA_BITS, help="Length of an RSA key.")
    ] = DEFAULT_RSA_BITS,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="A key made elsewhere, in PEM format."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and print the record to publish; it signs once its record is seen in DNS.

    postern dkim add harbour.example

    postern dkim add harbour.example --selector mail --import /etc/opendkim/keys/mail.private
    """
    if import_ is not None:
        try:
            pem = import_.read_bytes()
        except OSError as error:
            fail(ExitCode.USAGE, f"{import_}: {error.strerror}")
    else:
        pem = new_ed25519_key() if ed25519 else new_rsa_key(bits)
    with open_site() as site:
        made = granted(_store(site).add(name, pem, selector))
    if as_json:
        print_json({"action": "added", "key": fields(made)})
        return
    say(f"Made {_in_words(made)}; it signs once this record is seen in DNS:")
    print_record(made)


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="DOMAIN", help="None: all.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Keys of a domain, or of all."""
    with open_site() as site:
        keys = list(granted(_store(site).keys(name)))
    if as_json:
        print_json_list("keys", map(fields, keys))
        return
    print_table(
        ("DOMAIN", "SELECTOR", "KEY", "STATE", "SINCE"),
        (
            (key.domain, key.selector, _kind(key), key.state.value, rfc3339(key.since)[:10])
            for key in keys
        ),
    )


@app.command()
def show(name: Name, selector: Selector, as_json: JsonFlag = False) -> None:
    """One key, the record it needs, and whether DNS has it now.

    Exit: 0 seen, 1 not in DNS yet, 2 DNS has another record there, 3 couldn't tell.
    """
    with open_site() as site:
        key = granted(_store(site).key(name, selector))
    published = asyncio.run(_look_up(key))
    if as_json:
        print_json({"key": {**fields(key), "published": published.value}})
    else:
        say(
            f"{_in_words(key)}: {key.state.value} since {rfc3339(key.since)[:10]};"
            f" {IN_WORDS[published]}"
        )
        print_record(key)
    raise typer.Exit(_EXIT[published])


@app.command()
def activate(name: Name, selector: Selector, as_json: JsonFlag = False) -> None:
    """Sign with a key from now on, whether our DNS sees its record or not."""
    _set_state(name, selector, KeyState.ACTIVE, as_json=as_json)


@app.command()
def retire(name: Name, selector: Selector, as_json: JsonFlag = False) -> None:
    """Sign with a key no more; leave its record in DNS for a week, for mail under way."""
    _set_state(name, selector, KeyState.RETIRED, as_json=as_json)


@app.command()
def remove(name: Name, selector: Selector, as_json: JsonFlag = False) -> None:
    """Forget a key that is retired, or was never used; there is no way back."""
    with open_site() as site:
        store = _store(site)
        key = granted(store.key(name, selector))
        if key.state is KeyState.ACTIVE:
            fail(
                ExitCode.PROBLEM,
                f"{key.selector} signs now; first: postern dkim retire {key.domain} {key.selector}",
            )
        granted(store.remove(name, selector))
    if as_json:
        print_json({"action": "removed", "key": fields(key)})
    else:
        say(f"Removed {_in_words(key)}; its record {key.record_name} can go.")


def _set_state(name: str, selector: str, state: KeyState, *, as_json: bool) -> None:
    with open_site() as site:
        key = granted(_store(site).set_state(name, selector, state))
        keys = list(granted(_store(site).keys(key.domain)))
    if as_json:
        print_json({"action": state.value, "key": fields(key)})
    elif state is KeyState.ACTIVE:
        say(f"Mail of {key.domain} is signed with {key.selector} from now on.")
    else:
        say(
            f"Mail of {key.domain} is no longer signed with {key.selector};"
            f" leave {key.record_name} in DNS for a week."
        )
        if all(one.state is not KeyState.ACTIVE for one in keys):
            say(f"No key of {key.domain} signs now: its mail leaves unsigned.")


async def _look_up(key: DkimKey) -> Published:
    # Only this one of the verbs asks DNS: the others start without all that takes.
    from postern.app.settings import resolver_settings  # noqa: PLC0415 - not for the other verbs
    from postern.config.load import load  # noqa: PLC0415 - not for the other verbs
    from postern.runtime.resolver.resolver import Resolver  # noqa: PLC0415 - not for the other verbs

    resolver = Resolver(resolver_settings(load(None)), SystemClock())
    try:
        return await look_up(resolver, key)
    finally:
        await resolver.aclose(0.0)


def _store(site: SiteStore) -> DkimStore:
    return DkimStore(site.database, SystemClock(), author())


def _kind(key: DkimKey) -> str:
    return f"{key.kind} {key.bits}" if key.kind == "rsa" else key.kind


def _in_words(key: DkimKey) -> str:
    return f"key {key.selector} of {key.domain} ({_kind(key)})"
