"""``postern greylist``: mail that was asked to come again, and servers that did."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

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
from postern.config.load import load
from postern.config.settings import Config
from postern.policy.greylist.store import FILE_NAME, GreylistStore, Listed
from postern.runtime.clock import SystemClock, rfc3339
from postern.runtime.database.trouble import DatabaseTroubleError

app = typer.Typer(
    help="Mail that was asked to come again: look at it, take it at once, make it new again.",
    no_args_is_help=True,
)

MOST = 10_000

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="WORD...", help="In pool, sender or recipient; all of them."),
]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="As listed: 17.")]
Count = Annotated[int, typer.Option("--count", min=1, max=MOST, help="At most so many.")]


@app.command("list")
def list_(words: Words = None, count: Count = 100, as_json: JsonFlag = False) -> None:
    """What waits to come again, then what did; the latest first.

    postern greylist list tea.example
    """
    config = load(None)
    found: list[Listed] = []
    if (config.data_dir / FILE_NAME).exists():
        with _opened(config) as store:
            found = store.listed(words or (), count)
    if as_json:
        print_json_list("entries", (_fields(one, config) for one in found))
        return
    print_table(
        ("ID", "SINCE", "FROM", "TO", "SERVERS", "STANDS"),
        (
            (
                str(one.id),
                rfc3339(one.entry.first_at)[:16],
                one.sender or "<>",
                one.recipient,
                one.pool,
                _standing(one, config),
            )
            for one in found
        ),
    )


@app.command("pass")
def pass_(ids: Ids, as_json: JsonFlag = False) -> int:
    """Take this mail when it comes next, whatever it would have to wait.

    postern greylist pass 17
    """
    now = SystemClock().now()
    return _change("passed", ids, lambda store, number: store.let_pass(number, now), as_json)


@app.command()
def forget(ids: Ids, as_json: JsonFlag = False) -> int:
    """Make this mail new again: it waits anew."""
    return _change("forgotten", ids, lambda store, number: store.forget(number), as_json)


def _change(
    done: str,
    ids: Sequence[int],
    change: Callable[[GreylistStore, int], Listed | None],
    as_json: bool,
) -> int:
    """Change each; those that are not there are named, and the others changed."""
    config = load(None)
    if not (config.data_dir / FILE_NAME).exists():
        fail(ExitCode.NOT_FOUND, "nobody was asked to come again yet")
    changed: list[int] = []
    missing: list[int] = []
    with _opened(config) as store:
        for number in dict.fromkeys(ids):
            (missing if change(store, number) is None else changed).append(number)
    if as_json:
        print_json({"action": done, "ids": changed})
    else:
        say(f"{len(changed)} {done}")
    if missing:
        note(f"there is no {', '.join(map(str, missing))}; see: postern greylist list")
        return ExitCode.NOT_FOUND
    return ExitCode.OK


@contextmanager
def _opened(config: Config) -> Iterator[GreylistStore]:
    """The file, for the length of one command; what cannot be done ends it."""
    path = config.data_dir / FILE_NAME
    if not os.access(path, os.R_OK | os.W_OK):
        owner = path.owner()
        fail(
            ExitCode.NO_PERMISSION,
            f"{path} belongs to {owner}; give the command as that user or as root",
        )
    try:
        store = GreylistStore.open(config.data_dir)
        try:
            yield store
        finally:
            store.close()
    except DatabaseTroubleError as error:
        fail(ExitCode.TEMPORARY, f"{path}: {error}")


def _standing(one: Listed, config: Config) -> str:
    if one.entry.passed_at is not None:
        return f"came again; last seen {rfc3339(one.entry.seen_at)[:10]}"
    return f"waits; taken from {rfc3339(_until(one, config))[11:19]} UTC on"


def _until(one: Listed, config: Config) -> float:
    return one.entry.first_at + config.greylist.wait_s


def _fields(one: Listed, config: Config) -> JsonObject:
    entry = one.entry
    return {
        "id": one.id,
        "servers": one.pool,
        "mail_from": one.sender,
        "recipient": one.recipient,
        "first_at": rfc3339(entry.first_at),
        "seen_at": rfc3339(entry.seen_at),
        "passed_at": None if entry.passed_at is None else rfc3339(entry.passed_at),
        "taken_from": None if entry.passed_at is not None else rfc3339(_until(one, config)),
    }
