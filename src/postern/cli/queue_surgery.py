"""``postern queue hold|release|retry|cancel|reroute``: asked of the workers, and their answers."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from postern.cli.output import (
    ExitCode,
    JsonFlag,
    confirm,
    fail,
    note,
    print_json,
    print_table,
    say,
)
from postern.cli.workers import PATIENCE_S, ask_workers, check_served
from postern.config.load import load
from postern.config.settings import Config
from postern.mail.address import parse_address
from postern.mail.tracecode import TraceCodes
from postern.queue.request import (
    MAX_EXAMPLES,
    Action,
    Answer,
    Example,
    MailFilter,
    Options,
    Request,
)
from postern.routing.settings import DIRECT
from postern.runtime.clock import SystemClock

PLAIN = Options()
MAX_CODES = 100

_DONE = {
    Action.HOLD: ("held", "hold"),
    Action.RELEASE: ("released", "release"),
    Action.RETRY: ("tried again now", "try again"),
    Action.CANCEL: ("cancelled", "cancel"),
    Action.REROUTE: ("rerouted", "reroute"),
}
_HARMLESS = frozenset({Action.RELEASE, Action.RETRY})
"""What no filter means all mail for, and nobody is asked: it only brings forward what was to be."""

_UNDO = {
    Action.HOLD: "undo: postern queue release with the same words",
    Action.RELEASE: "undo: postern queue hold with the same words, while it still waits",
}

Codes = Annotated[
    list[str] | None, typer.Argument(metavar="[TRACE]...", help="Trace codes, PT-7Q2M-K4XD.")
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="A", help="Envelope sender: address, @domain, or <>."),
]
To = Annotated[str | None, typer.Option("--to", metavar="A", help="Recipient: address or @domain.")]
Group = Annotated[str | None, typer.Option("--group", metavar="G", help="MX group.")]
Account = Annotated[
    str | None, typer.Option("--account", metavar="A", help="Who signed in to send it.")
]
Everything = Annotated[bool, typer.Option("--all", help="All mail; asks first.")]
AllAnyway = Annotated[bool, typer.Option("--all", help="All mail, as without any filter.")]
NobodyAsks = Annotated[bool, typer.Option("--yes", help="Nothing is asked; for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count, and list the first ones; change nothing.")
]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    action: Action
    codes: Sequence[str]
    sender: str | None
    recipient: str | None
    group: str | None
    account: str | None
    is_all: bool
    is_agreed: bool
    is_dry: bool
    as_json: bool
    options: Options = PLAIN


def add_actions(app: typer.Typer) -> None:
    """Give ``postern queue`` its verbs."""
    app.command()(hold)
    app.command()(release)
    app.command()(retry)
    app.command()(cancel)
    app.command()(reroute)


def hold(
    codes: Codes = None,
    sender: From = None,
    recipient: To = None,
    group: Group = None,
    account: Account = None,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: JsonFlag = False,
) -> int:
    """Keep mail until it is released.

    postern queue hold --from @tea.example --dry-run
    """
    return carry_out(
        Order(
            Action.HOLD, codes or (), sender, recipient, group, account,
            everything, yes, dry_run, as_json,
        )
    )  # fmt: skip


def release(
    codes: Codes = None,
    sender: From = None,
    recipient: To = None,
    group: Group = None,
    account: Account = None,
    everything: AllAnyway = False,
    yes: NobodyAsks = False,
    dry_run: DryRun = False,
    as_json: JsonFlag = False,
) -> int:
    """Let held mail go on, now; without a filter, all of it."""
    return carry_out(
        Order(
            Action.RELEASE, codes or (), sender, recipient, group, account,
            everything, yes, dry_run, as_json,
        )
    )  # fmt: skip


def retry(
    codes: Codes = None,
    sender: From = None,
    recipient: To = None,
    group: Group = None,
    account: Account = None,
    everything: AllAnyway = False,
    yes: NobodyAsks = False,
    dry_run: DryRun = False,
    as_json: JsonFlag = False,
) -> int:
    """Try waiting mail again now, as fast as the slots allow; without a filter, all of it."""
    return carry_out(
        Order(
            Action.RETRY, codes or (), sender, recipient, group, account,
            everything, yes, dry_run, as_json,
        )
    )  # fmt: skip


def cancel(
    codes: Codes = None,
    sender: From = None,
    recipient: To = None,
    group: Group = None,
    account: Account = None,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    silent: Annotated[
        bool, typer.Option("--silent", help="Drop it; its sender is not told.")
    ] = False,
    as_json: JsonFlag = False,
) -> int:
    """Give mail back to its sender with a notice, or drop it with --silent.

    postern queue cancel PT-7Q2M-K4XD

    postern queue cancel --account wang@harbour.example --silent --dry-run
    """
    return carry_out(
        Order(
            Action.CANCEL, codes or (), sender, recipient, group, account,
            everything, yes, dry_run, as_json, Options(silent=silent),
        )
    )  # fmt: skip


def reroute(
    via: Annotated[
        str,
        typer.Option("--via", metavar="EGRESS", help="An [[egress]] by name, or direct."),
    ],
    codes: Codes = None,
    sender: From = None,
    recipient: To = None,
    group: Group = None,
    account: Account = None,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: JsonFlag = False,
) -> int:
    """Send mail through another egress, now. What is held stays held.

    postern queue reroute --group google --via us1
    """
    return carry_out(
        Order(
            Action.REROUTE, codes or (), sender, recipient, group, account,
            everything, yes, dry_run, as_json, Options(via=via),
        )
    )  # fmt: skip


def carry_out(order: Order) -> int:
    """Ask the workers, wait for their answers, tell them; returns the exit code."""
    from postern.cli.site import author, open_site  # noqa: PLC0415 - loads the SQL library (0.35 s)
    from postern.queue.store.requests import RequestStore  # noqa: PLC0415 - as above

    config = load(None)
    _check_egress(config, order.options.via)
    check_served(config)
    with open_site() as site:
        wanted = _filter(order, TraceCodes(site.trace_key()))
        _agree(order, wanted)
        store = RequestStore(site.database)
        request = Request(
            0, SystemClock().now(), author(), order.action, wanted, order.options, order.is_dry
        )
        answers, silent_ones = ask_workers(store, request, config)
    return _tell(order, answers, silent_ones)


def _check_egress(config: Config, via: str) -> None:
    names = list(dict.fromkeys([DIRECT, *(egress.name for egress in config.egresses)]))
    if via and via not in names:
        fail(ExitCode.USAGE, f"there is no egress {via!r}; there are: {', '.join(names)}")


def _filter(order: Order, codes: TraceCodes) -> MailFilter:
    """The filter that was asked for, or the end of the command where it can't be meant."""
    if len(order.codes) > MAX_CODES:
        fail(ExitCode.USAGE, f"at most {MAX_CODES} trace codes at once")
    numbers = []
    for code in order.codes:
        number = codes.decode(code)
        if number is None:
            fail(ExitCode.USAGE, f"{code!r} is not a trace code, such as PT-7Q2M-K4XD")
        numbers.append(number)
    wanted = MailFilter(
        "" if order.sender is None else _pattern(order.sender, "--from"),
        "" if order.recipient is None else _pattern(order.recipient, "--to"),
        _given(order.group, "--group"),
        _given(order.account, "--account"),
        tuple(dict.fromkeys(numbers)),
    )
    if wanted.is_empty and not order.is_all and order.action not in _HARMLESS:
        fail(
            ExitCode.USAGE,
            "say which mail: a trace code, --from, --to, --group or --account; all of it: --all",
        )
    if order.is_all and not wanted.is_empty:
        fail(ExitCode.USAGE, "--all is all mail; leave it out to mean only what fits the rest")
    return wanted


def _given(text: str | None, option: str) -> str:
    """An empty word is a script's mistake, and must not mean all mail."""
    if text is not None and not text.strip():
        fail(ExitCode.USAGE, f"{option} is empty")
    return "" if text is None else text.strip()


def _pattern(text: str, option: str) -> str:
    plain = _given(text, option)
    if option == "--from" and plain == "<>":
        return plain
    probe = f"a{plain}" if plain.startswith("@") else plain
    address = parse_address(probe)
    if address is None or not address.domain:
        fail(ExitCode.USAGE, f"{option}: {text!r} is neither an address nor @domain")
    return f"@{address.domain}" if plain.startswith("@") else str(address)


def _agree(order: Order, wanted: MailFilter) -> None:
    if order.is_dry or not wanted.is_empty or order.action in _HARMLESS:
        return
    verb = _DONE[order.action][1]
    if not confirm(f"{verb.capitalize()} all mail in the queue?", yes=order.is_agreed):
        fail(ExitCode.USAGE, f"to {verb} all mail without being asked: --all --yes")


def _tell(order: Order, answers: Sequence[Answer], silent_ones: Sequence[int]) -> int:
    tallies = [answer.tally for answer in answers]
    count = sum(tally.count for tally in tallies)
    busy = sum(tally.busy for tally in tallies)
    kept = sum(tally.kept for tally in tallies)
    errors = [tally.error for tally in tallies if tally.error]
    examples = [example for tally in tallies for example in tally.examples][:MAX_EXAMPLES]
    if order.as_json:
        print_json(
            {
                "action": order.action.value,
                "dry_run": order.is_dry,
                "count": count,
                "busy": busy,
                "kept": kept,
                "silent_workers": list(silent_ones),
                "errors": errors,
                "first": [
                    {
                        "trace": example.trace,
                        "mail_from": example.mail_from,
                        "to": example.to,
                        "mx_group": example.mx_group,
                        "state": example.state,
                    }
                    for example in examples
                ],
            }
        )
    else:
        _print_outcome(order, count, busy, kept, examples)
    for error in errors:
        note(f"a worker could not finish: {error}")
    if silent_ones:
        names = ", ".join(map(str, silent_ones))
        note(
            f"no answer within {PATIENCE_S:.0f} s from worker {names}; what is above was done,"
            " the rest was not begun or is being done: see postern queue"
        )
    if silent_ones or errors:
        return ExitCode.TEMPORARY
    return ExitCode.OK if count or busy or kept else ExitCode.NOT_FOUND


def _print_outcome(
    order: Order, count: int, busy: int, kept: int, examples: Iterable[Example]
) -> None:
    done, verb = _DONE[order.action]
    if order.is_dry:
        say(f"{count} would be {done}; nothing was changed")
        print_table(
            ("trace", "from", "to", "group", "state"),
            ((e.trace, e.mail_from or "<>", e.to, e.mx_group or "-", e.state) for e in examples),
        )
    else:
        say(f"{count} {done}")
        if count and order.action in _UNDO:
            sys.stderr.write(f"{_UNDO[order.action]}\n")
    if busy:
        say(f"{busy} being tried at this moment, left alone; to {verb} what still waits: again")
    if kept:
        say(f"{kept} held instead: nobody may be told of them; to drop them: cancel --silent")
