"""``postern rule … --dry-run``: what a change of rules would have done to mail that came."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from postern.cli.output import (
    ExitCode,
    JsonObject,
    confirm,
    fail,
    note,
    print_json,
    print_table,
    say,
)
from postern.config.load import load
from postern.directory.store.site import SiteStore
from postern.journal.days import DAY_S
from postern.journal.decisions import DecisionReader, Kept
from postern.mail.tracecode import TraceCodes
from postern.policy.preview import DAYS, Preview, Progress, preview, sought
from postern.policy.replay import Outcome, Replay, Replayed
from postern.policy.rules.change import Added, Change, Treated
from postern.policy.rules.match import MatchKind
from postern.policy.rules.rule import Action, Rule, Scope
from postern.policy.rules.store import Books
from postern.policy.store import inventory
from postern.policy.wording import GRAVITIES
from postern.runtime.clock import SystemClock, rfc3339

LISTED = 20
LISTED_JSON = 1_000
ASK_ABOVE = 50
"""So many changes are worth a question before they are made."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A change that is thought about. ``reason`` and ``lasts``: as typed, for a smaller rule."""

    change: Change
    reason: str = ""
    lasts: str = ""


def show_preview(site: SiteStore, tried: Tried, *, as_json: bool) -> None:
    """Print what would have changed; exit 3 when there is nothing on file to judge."""
    found = _preview(site, tried.change, LISTED_JSON if as_json else LISTED)
    for damaged in found.damaged:
        note(f"{damaged.path.name} could not be read whole: {damaged.reason}")
    if as_json:
        print_json(_fields(site, tried, found))
    else:
        _print(site, tried, found)
    if not found.kept.decisions:
        raise typer.Exit(ExitCode.COULDNT_TELL)
    if found.damaged:
        raise typer.Exit(ExitCode.WARNING)


def ask_first(site: SiteStore, tried: Tried, *, yes: bool) -> None:
    """Ask a person before much changes; the end of the command where the answer is no.

    A script is never asked: it is told where the preview is, when all mail would be let through.
    """
    if yes:
        return
    wide = isinstance(tried.change, Added) and _lets_all_through(tried.change.rule)
    if not sys.stdin.isatty():
        if wide:
            note("this lets all mail through; --dry-run shows what it would have done")
        return
    found = _preview(site, tried.change, 0)
    if not wide and found.changed <= ASK_ABOVE:
        return
    for line in _summary(tried, found):
        note(line)
    if not confirm("Save it?", yes=False):
        fail(ExitCode.WARNING, "nothing was changed")


def _lets_all_through(rule: Rule) -> bool:
    is_all = rule.match.kind is MatchKind.ALL or rule.match.value in {"0.0.0.0/0", "::/0"}
    return rule.action is Action.ALLOW and rule.scope is not Scope.MAILBOX and is_all


def _preview(site: SiteStore, change: Change, most_listed: int) -> Preview:
    clock = SystemClock()
    now = clock.now()
    stock = inventory(site.database, now)
    replay = Replay(Books(site.database, clock), change, stock, now)
    reader = DecisionReader(load(None).data_dir / "journal")
    query = sought(change, stock, now - DAYS * DAY_S)
    with _progress() as tell:
        return preview(reader, replay, query, most_listed=most_listed, tell=tell)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on a person's terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only where a person waits
    from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"the last {DAYS} days", total=1.0)
        yield lambda part: bar.update(task, completed=part)


# --- for people -----------------------------------------------------------------------------------


def _print(site: SiteStore, tried: Tried, found: Preview) -> None:
    for line in _summary(tried, found):
        say(line)
    if not found.listed:
        return
    codes = TraceCodes(site.trace_key())
    say("")
    print_table(
        ("AT", "FROM", "TO", "SUBJECT", "WAS", "WOULD BE", "TRACE"),
        (
            (
                rfc3339(one.row.at)[:16],
                one.row.mail_from or "<>",
                one.row.named or one.row.owner,
                one.row.subject,
                _words(one.before),
                _words(one.after),
                codes.encode(one.row.number),
            )
            for one in found.listed
        ),
    )
    if found.changed > len(found.listed):
        more = found.changed - len(found.listed)
        say(f"and {more:,} more; --json lists up to {LISTED_JSON:,}")


def _summary(tried: Tried, found: Preview) -> Iterator[str]:
    kept = found.kept
    if not kept.decisions:
        yield f"No decisions about this mail are on file for the last {DAYS} days."
        yield from _not_kept(kept)
        return
    it = "this setting" if isinstance(tried.change, Treated) else "this rule"
    yield (
        f"On your last {DAYS} days {it} would have changed {found.changed:,} of"
        f" {kept.decisions:,} decisions{':' if found.changed else '.'}"
    )
    pairs = sorted(found.changes.items(), key=lambda item: -item[1])
    yield from (f"  {n:>9,}  {_words(a)} -> {_words(b)}" for (a, b), n in pairs)
    for outcome, n in sorted(found.stays.items(), key=lambda item: -item[1]):
        yield f"  {n:>9,}  {'stays' if n == 1 else 'stay'} {_words(outcome)}"
    if found.unproven:
        yield (
            f"{found.unproven:,} more only said to be from there: neither SPF nor DKIM proved it,"
            " so it is not about them (--unproven makes it so)."
        )
    if found.blind:
        yield f"{found.blind:,} of the changed never sent their content: judged by what was seen."
    yield from _smaller(tried, found)
    yield from _not_kept(kept)


def _smaller(tried: Tried, found: Preview) -> Iterator[str]:
    command = _smaller_rule(tried, found)
    if not command:
        return
    friends = found.friends
    yield (
        f"Of these, {friends.messages:,} from {_senders(len(friends.senders))} whom their"
        " recipients have written to. A smaller rule frees just those:"
    )
    yield f"  {command}"


def _senders(count: int) -> str:
    return "1 sender" if count == 1 else f"{count:,} senders"


def _not_kept(kept: Kept) -> Iterator[str]:
    if kept.without and kept.since is not None:
        yield f"Decisions before {rfc3339(kept.since)[:10]} were not kept in this form."
    elif kept.without:
        yield "Decisions of those days were not kept in this form."
    if kept.folded:
        yield f"{kept.folded:,} refused in a flood were only counted: nobody can judge them again."


def _words(outcome: Outcome) -> str:
    if outcome.is_open:
        return "asked for its content first"
    word = GRAVITIES[outcome.gravity]
    return f"{word} ({outcome.check})" if outcome.check else word


def _smaller_rule(tried: Tried, found: Preview) -> str:
    """The command that frees only whom the recipients have written to; empty: it is no smaller."""
    change = tried.change
    if not isinstance(change, Added) or not 0 < found.friends.messages < found.freed:
        return ""
    rule = change.rule
    if rule.action is not Action.ALLOW:
        return ""
    words = ["postern", "rule", "allow", "known"]
    if rule.scope is not Scope.SYSTEM:
        words += [f"--{rule.scope.name.lower()}", rule.place]
    elif not rule.waives:
        return ""
    if rule.waives:
        words += ["--waive", ",".join(sorted(rule.waives))]
    if tried.lasts:
        words += ["--for", tried.lasts]
    return shlex.join([*words, "--reason", tried.reason or "people we write to"])


# --- for programs ---------------------------------------------------------------------------------


def _fields(site: SiteStore, tried: Tried, found: Preview) -> JsonObject:
    kept = found.kept
    codes = TraceCodes(site.trace_key())
    command = _smaller_rule(tried, found)
    friends = found.friends
    return {
        "action": "preview",
        "days": DAYS,
        "since": None if kept.since is None else rfc3339(kept.since),
        "decisions": kept.decisions,
        "changed": found.changed,
        "changes": [
            {"count": n, "before": _effect(before), "after": _effect(after)}
            for (before, after), n in found.changes.most_common()
        ],
        "stays": [{"count": n, **_effect(one)} for one, n in found.stays.most_common()],
        "unproven": found.unproven,
        "unseen": found.blind,
        "not_kept": {"folded": kept.folded, "files": kept.without},
        "smaller": None
        if not command
        else {
            "command": command,
            "messages": friends.messages,
            "senders": len(friends.senders),
        },
        "messages": [_message(one, codes) for one in found.listed],
    }


def _message(one: Replayed, codes: TraceCodes) -> JsonObject:
    row = one.row
    return {
        "trace": codes.encode(row.number),
        "at": rfc3339(row.at),
        "mail_from": row.mail_from or "",
        "recipient": row.named or row.owner,
        "mailbox": row.owner,
        "subject": row.subject,
        "before": _effect(one.before),
        "after": _effect(one.after),
        "unseen": one.is_blind,
    }


def _effect(outcome: Outcome) -> dict[str, str | None]:
    word = outcome.gravity.name.lower().replace("_", "-")
    return {"effect": "open" if outcome.is_open else word, "check": outcome.check or None}
