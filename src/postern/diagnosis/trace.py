"""Everything on file about one conversation, with what was said in it."""

from dataclasses import dataclass

from postern.diagnosis.conversation_text import Paper, conversation_text, summary_line
from postern.diagnosis.ending import Exit, exit_for
from postern.diagnosis.terminal import harmless, wrapped
from postern.diagnosis.why import WaitingMail, look
from postern.diagnosis.why_json import trace_json
from postern.diagnosis.wording import SLOW_S
from postern.journal.query import Clue, Kind, Query
from postern.journal.record import ChangeRecord, Conversation, Line
from postern.journal.search import Extent, JournalReader
from postern.mail.tracecode import TraceCodes


@dataclass(frozen=True, slots=True)
class Trace:
    """One conversation, or None with what was searched. ``transcript`` is empty when not kept."""

    code: str
    conversation: Conversation | None
    siblings: tuple[Conversation, ...]
    changes: tuple[ChangeRecord, ...]
    transcript: tuple[Line, ...]
    exit: Exit
    extent: Extent
    folded: int = 0
    warnings: tuple[str, ...] = ()


def trace(number: int, code: str, journal: JournalReader, waiting: WaitingMail) -> Trace:
    """What is known of the conversation with this number, finished or waiting."""
    looked = look(Query((Clue(Kind.TRACE, code, number=number),), code), journal, waiting)
    found = looked.conversations
    conversation = found[0] if found else None
    return Trace(
        code=code,
        conversation=conversation,
        siblings=tuple(journal.siblings(conversation)) if conversation else (),
        changes=tuple(journal.changes_of(conversation)) if conversation else (),
        transcript=tuple(journal.transcript(number) if conversation else ()),
        exit=exit_for(found, is_all_read=not looked.warnings),
        extent=journal.extent(),
        folded=0 if conversation else journal.folded_count(),
        warnings=looked.warnings,
    )


def trace_as_json(found: Trace, codes: TraceCodes) -> str:
    """``postern trace --json``."""
    return trace_json(
        found.conversation,
        found.siblings,
        found.changes,
        found.transcript,
        codes,
        found.exit.value,
        found.warnings,
    )


def trace_text(found: Trace, paper: Paper) -> str:
    """``postern trace`` for people."""
    c = found.conversation
    lines = _not_found(found, paper) if c is None else conversation_text(c, paper)
    if c is not None:
        lines += _connection(c)
        lines += _changes(found, paper)
        lines += _transcript(found, c, paper)
    if found.siblings:
        lines += ["", "  belonging to it (same connection, or a notice about it)"]
        lines += [f"  {summary_line(sibling, paper)}" for sibling in found.siblings]
    lines += [f"Warning: {harmless(warning)}" for warning in found.warnings]
    return "\n".join(lines) + "\n"


def _connection(c: Conversation) -> list[str]:
    size = f"{c.size} bytes" if c.size else ""
    parts = (
        f"on {c.listener}" if c.listener else "",
        f"worker {c.worker}",
        f"from port {c.client_port}" if c.client_port else "",
        harmless(c.tls) or "not encrypted",
        f"login {harmless(c.account)}" if c.account else "",
        size,
        f"{c.seconds:.1f} s in all" + ("  SLOW" if c.seconds > SLOW_S else ""),
    )
    return ["", f"  Came in {', '.join(filter(None, parts))}."]


def _changes(found: Trace, paper: Paper) -> list[str]:
    if not found.changes:
        return []
    lines = ["", "  what was done to it"]
    for change in found.changes:
        text = f"{change.action} by {change.author}: {change.subject} {change.detail}".rstrip()
        lines.append(f"    {paper.moment(change.at)}  {harmless(text)}")
    return lines


def _transcript(found: Trace, c: Conversation, paper: Paper) -> list[str]:
    talk = found.transcript or tuple(c.transcript)
    if not talk:
        return [
            "",
            "  No transcript: it is kept for refused conversations, for the days set in the"
            " configuration.",
        ]
    lines = ["", "  what was said (seconds since they connected; C they, S we)"]
    before = 0.0
    for line in talk:
        waited = line.seconds - before
        before = line.seconds
        slow = f"  SLOW, after {waited:.1f} s" if waited > SLOW_S else ""
        first, *rest = wrapped(harmless(line.text), max(paper.style.columns - 26, 40))
        lines.append(f"  {line.seconds:8.2f} {line.side or ' '}  {first}{slow}")
        lines += [f"{'':14}{more}" for more in rest]
    return lines


def _not_found(found: Trace, paper: Paper) -> list[str]:
    since = found.extent.since
    back = f"which goes back to {paper.zoned(since)}" if since else "in which nothing is yet"
    text = (
        f"Nothing is on file for {harmless(found.code)}. Searched: the mail that waits, and the"
        f" log, {back}."
    )
    if found.folded:
        text += (
            f" {found.folded} refused conversations were only counted during a flood; it may have"
            " been one of them."
        )
    return wrapped(text, paper.style.columns)
