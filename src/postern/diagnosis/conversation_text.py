"""One conversation as text: verdict, because, whose side, what was told, steps, attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from postern.diagnosis.ending import ending_of, state_ending
from postern.diagnosis.terminal import Glyph, Style, cells, clipped, harmless, padded, wrapped
from postern.diagnosis.wording import (
    SLOW_S,
    attempt_glyph,
    attempt_meaning,
    because_of,
    moment,
    step_name,
    step_result,
    told,
    took,
    whose_side,
)
from postern.journal.record import AttemptRecord, Conversation, RecipientRecord, Step
from postern.mail.tracecode import TraceCodes

MAX_RECIPIENTS = 20
MAX_ATTEMPTS = 20
_LABEL = 11


@dataclass(frozen=True, slots=True)
class Paper:
    """What a text is written on: the terminal's style, the zone of its clock, the codes."""

    style: Style
    codes: TraceCodes
    zone: tzinfo | None = None

    def moment(self, at: float) -> str:
        """A moment on this machine's clock."""
        return moment(at, self.zone)

    def zoned(self, at: float) -> str:
        """The same, naming the zone."""
        return moment(at, self.zone, with_zone=True)


def conversation_text(c: Conversation, paper: Paper) -> list[str]:
    """The lines of one conversation, whole."""
    return [
        *heading(c, paper),
        "",
        *_facts(c, paper),
        *_recipients(c, paper),
        *_steps(c.steps, paper),
        *_attempts(c, paper),
    ]


def heading(c: Conversation, paper: Paper) -> list[str]:
    """Verdict, when, trace code, who; then from and to."""
    who = harmless(" ".join(filter(None, (c.client_ip or c.account or c.kind, c.helo))))
    first = "   ".join(
        (
            paper.style.strong(ending_of(c).value),
            paper.moment(c.at),
            f"trace {paper.codes.encode(c.id)}",
            who,
        )
    )
    return [first, from_to(c, paper.style)]


def summary_line(c: Conversation, paper: Paper) -> str:
    """One conversation on one line."""
    because = because_of(c)
    parts = [
        paper.moment(c.at),
        paper.codes.encode(c.id),
        padded(ending_of(c).value, 15),
        from_to(c, paper.style),
        f"({harmless(because.check)})" if because and because.check else "",
    ]
    return clipped("  ".join(filter(None, parts)), max(paper.style.columns - 2, 60))


def from_to(c: Conversation, style: Style) -> str:
    """Sender and recipients on one line."""
    sender = harmless(c.mail_from) or "<>"
    if not c.recipients:
        return sender if c.mail_from else "no sender was named"
    more = f" and {len(c.recipients) - 1} more" if len(c.recipients) > 1 else ""
    return f"{sender}  {style.arrow}  {harmless(c.recipients[0].address)}{more}"


def labelled(label: str, text: str, paper: Paper) -> list[str]:
    """A paragraph behind its label."""
    lines = wrapped(text, paper.style.columns - _LABEL - 2)
    return [
        f"  {padded(label if number == 0 else '', _LABEL - 1)} {line}"
        for number, line in enumerate(lines)
    ]


def _facts(c: Conversation, paper: Paper) -> list[str]:
    because = because_of(c)
    facts: list[tuple[str, str]] = []
    if because is not None:
        check = f" ({harmless(because.check)})" if because.check else ""
        facts.append(("Because", f"{harmless(because.text)}{check}."))
        facts.append(("Whose", whose_side(because.whose)))
    facts.append(("Sender", harmless(told(c, paper.moment))))
    if c.from_header and c.from_header.lower() != c.mail_from.lower():
        facts.append(("From", f"{harmless(c.from_header)} is what the reader sees"))
    if c.subject:
        facts.append(("Subject", harmless(c.subject)))
    if c.message_id:
        facts.append(("Message-ID", harmless(c.message_id)))
    return [line for label, text in facts for line in labelled(label, text, paper)]


def _recipients(c: Conversation, paper: Paper) -> list[str]:
    """Each recipient, where they are several or one did not end as it was named."""
    shown = [r for r in c.recipients if len(c.recipients) > 1 or r.final or r.rule]
    if not shown:
        return []
    lines = ["", "  recipients"]
    for recipient in shown[:MAX_RECIPIENTS]:
        lines += _recipient(recipient, paper)
    if len(shown) > MAX_RECIPIENTS:
        lines.append(f"    and {len(shown) - MAX_RECIPIENTS} more; all of them: --json")
    return lines


def _recipient(r: RecipientRecord, paper: Paper) -> list[str]:
    ending = state_ending(r.state)
    final = f" {paper.style.arrow} {harmless(r.final)}" if r.final else ""
    lines = [f"    {padded(ending.value, 15)}  {harmless(r.address)}{final}"]
    notes = [harmless(r.reply)] if r.reply else []
    if r.because is not None:
        notes.append(f"because {harmless(r.because.text)} ({harmless(r.because.check)})")
    if r.rule:
        notes.append(f"rule {harmless(r.rule)}")
    return lines + [
        f"{'':21}{line}" for note in notes for line in wrapped(note, paper.style.columns - 21)
    ]


def _steps(steps: Sequence[Step], paper: Paper) -> list[str]:
    if not steps:
        return []
    style = paper.style
    names = max(*(cells(harmless(step_name(step))) for step in steps), len("step"))
    room = max(style.columns - names - 16, 30)
    mark = " " * len(Glyph.NONE.value[1].ljust(4) if style.is_ascii else Glyph.NONE.value[0])
    here = next((step.place for step in steps if step.place), "")
    seen = f"result, seen from {harmless(here)}" if here else "result"
    lines = ["", f"  {mark} {padded('step', names)}  {padded(clipped(seen, room), room)}     took"]
    for step in steps:
        glyph, word = step_result(step)
        place = f" ({harmless(step.place)})" if step.place not in {"", here} else ""
        text = f"{word}  {harmless(step.text)}".rstrip() + place
        slow = "  SLOW" if step.seconds > SLOW_S else ""
        first, *rest = wrapped(text, room)
        name = padded(harmless(step_name(step)), names)
        lines.append(
            f"  {style.glyph(glyph)} {name}  {padded(first, room)} {took(step.seconds):>8}{slow}"
        )
        lines += [f"  {mark} {'':{names}}  {line}" for line in rest]
    return lines


def _attempts(c: Conversation, paper: Paper) -> list[str]:
    if not c.attempts:
        return []
    lines = ["", "  tries to deliver"]
    left_out = len(c.attempts) - MAX_ATTEMPTS
    if left_out > 0:
        lines.append(f"    {left_out} earlier ones not shown; all of them: --json")
    for attempt in c.attempts[-MAX_ATTEMPTS:]:
        lines += _attempt(attempt, c, paper)
    return lines


def _attempt(attempt: AttemptRecord, c: Conversation, paper: Paper) -> list[str]:
    style = paper.style
    slow = "  SLOW" if attempt.seconds > SLOW_S else ""
    host = harmless(attempt.mx)
    address = f"[{harmless(attempt.address)}]" if attempt.address else ""
    way = f"via {harmless(attempt.egress)}" if attempt.egress else ""
    tls = harmless(attempt.tls) or ("not encrypted" if attempt.mx or attempt.address else "")
    where = ", ".join(filter(None, (" ".join(filter(None, (host, address, way))), tls)))
    when = f"{paper.moment(attempt.at)}  {where}  {took(attempt.seconds)}{slow}"
    first, *rest = wrapped(when, style.columns - 8)
    lines = [f"  {style.glyph(attempt_glyph(attempt))} {first}"]
    lines += [f"      {line}" for line in rest]
    notes: list[str] = []
    if attempt.reason:
        notes.append(f"This way: {harmless(attempt.reason)}.")
    if len(c.recipients) > 1 and attempt.recipients:
        named = [harmless(c.recipients[i].address) for i in attempt.recipients if _is_in(i, c)]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        notes.append(f"for {', '.join(named[:3])}{more}")
    if attempt.reply:
        notes.append(f'"{harmless(attempt.reply)}"')
    if attempt.unencrypted:
        notes.append(f"Not encrypted on this hop: {harmless(attempt.unencrypted)}.")
    if meaning := attempt_meaning(attempt):
        notes.append(f"In words: {meaning}.")
    return lines + [f"      {line}" for note in notes for line in wrapped(note, style.columns - 6)]


def _is_in(index: int, c: Conversation) -> bool:
    return 0 <= index < len(c.recipients)
