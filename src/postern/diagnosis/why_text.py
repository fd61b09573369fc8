"""``postern why`` for people, and ``--plain`` for their scripts."""

from collections import Counter

from postern.diagnosis.conversation_text import (
    Paper,
    conversation_text,
    from_to,
    summary_line,
)
from postern.diagnosis.ending import Ending, ending_of
from postern.diagnosis.fixes import blocking, fixes
from postern.diagnosis.terminal import harmless, wrapped
from postern.diagnosis.why import Explanation
from postern.diagnosis.wording import because_of
from postern.journal.record import Conversation
from postern.journal.search import NEAREST
from postern.runtime.clock import rfc3339

_GOOD = frozenset({Ending.DELIVERED, Ending.JUNKED, Ending.HELD, Ending.WAITING})


def why_text(explanation: Explanation, paper: Paper) -> str:
    """The whole answer: what was found, the conversation that decides, and where to look next."""
    e = explanation
    lines = _found(e, paper) if e.decisive else _not_found(e, paper)
    lines += _folded(e, paper)
    lines += [f"Warning: {harmless(warning)}" for warning in e.warnings]
    if e.decisive:
        lines += ["", f"Conversation: postern trace {paper.codes.encode(e.decisive.id)}"]
    return "\n".join(lines) + "\n"


def why_plain(explanation: Explanation, paper: Paper) -> str:
    """One recipient a line, parted by tabs: at, trace, state, client, sender, recipient, check.

    A conversation without recipients is one line with its verdict as state.
    """
    lines = []
    for c in explanation.conversations:
        because = because_of(c)
        check = because.check if because else ""
        states = [(r.state, r.address) for r in c.recipients]
        states = states or [(ending_of(c).value.lower().replace(" ", "-"), "")]
        for state, recipient in states:
            fields = (
                rfc3339(c.at),
                paper.codes.encode(c.id),
                state,
                c.client_ip,
                c.mail_from,
                recipient,
                check,
            )
            lines.append("\t".join(harmless(field) for field in fields))
    return "".join(f"{line}\n" for line in lines)


def _found(e: Explanation, paper: Paper) -> list[str]:
    if e.decisive is None:
        return []
    lines = [*_count(e, paper), "", *conversation_text(e.decisive, paper)]
    lines += _next(e.decisive, paper) + _fixes(e, e.decisive, paper)
    others = [c for c in e.conversations if c.id != e.decisive.id]
    if others:
        lines += ["", "  others that were found"]
        lines += [f"  {summary_line(c, paper)}" for c in others]
    known = {c.id for c in e.conversations}
    siblings = [c for c in e.siblings if c.id not in known]
    if siblings:
        lines += ["", "  belonging to it (same connection, or a notice about it)"]
        lines += [f"  {summary_line(c, paper)}" for c in siblings]
    return lines


def _next(c: Conversation, paper: Paper) -> list[str]:
    """What would have refused it, were the first cause waived."""
    first, *others = blocking(c) or ("",)
    if not others:
        return []
    waived = first.partition(".")[0]
    text = f"If you waive {waived} only, {others[0]} refuses it next"
    text += f", then {', then '.join(others[1:])}." if len(others) > 1 else "."
    return ["", *(f"  {line}" for line in wrapped(harmless(text), paper.style.columns - 2))]


def _fixes(e: Explanation, c: Conversation, paper: Paper) -> list[str]:
    """What can be done, the narrowest first, with commands to paste."""
    lines: list[str] = []
    for number, fix in enumerate(fixes(c, paper.codes.encode(c.id), e.resolvers), 1):
        label = "Fix" if number == 1 else ""
        best = "  [best]" if number == 1 and fix.command else ""
        first, *rest = wrapped(harmless(fix.text) + best, paper.style.columns - 11)
        lines.append(f"  {label:<4} {number}  {first}")
        lines += [f"          {line}" for line in rest]
        if fix.command:
            lines += _pasteable(harmless(fix.command), paper.style.columns)
    return ["", *lines] if lines else []


def _pasteable(command: str, columns: int) -> list[str]:
    """A command on lines that a shell puts together again."""
    lines = wrapped(command, columns - 14)
    ends = [" \\"] * (len(lines) - 1) + [""]
    return [
        f"{'':{10 if number == 0 else 12}}{line}{end}"
        for number, (line, end) in enumerate(zip(lines, ends, strict=True))
    ]


def _count(e: Explanation, paper: Paper) -> list[str]:
    oldest = e.conversations[-1]
    number = len(e.conversations)
    endings = Counter(ending_of(c) for c in e.conversations)
    if number == 1:
        text = f"1 conversation, {paper.zoned(oldest.at)}."
    else:
        newest = f"The newest {number} conversations" if e.is_capped else f"{number} conversations"
        text = f"{newest} since {paper.zoned(oldest.at)}."
        if not any(ending in _GOOD for ending in endings):
            text += " None accepted."
        elif len(endings) > 1:
            told = (f"{count} {ending.value.lower()}" for ending, count in endings.most_common())
            text += f" {', '.join(told)}."
    if e.query is not e.tried[0] or len(e.tried) > 1:
        text += f" Found by {harmless(e.query.text)}."
    return wrapped(text, paper.style.columns)


def _not_found(e: Explanation, paper: Paper) -> list[str]:
    asked = " or ".join(harmless(query.text) for query in e.tried[:5]) or "nothing"
    kinds = {clue.kind.value for query in e.tried for clue in query.clues}
    what = f" (as {', '.join(sorted(kinds))})" if kinds else ""
    text = f"No mail and no attempt found for {asked}{what}. {_searched(e, paper)}"
    lines = wrapped(text, paper.style.columns)
    if e.nearest:
        lines += wrapped(_nearest(e, paper), paper.style.columns)
        lines += [f"  {summary_line(c, paper)}" for c in e.nearest]
    advice = (
        "So it has not reached this server, as far as the log can tell: ask the sender for the"
        " bounce and paste it into: postern why -"
    )
    if e.warnings:
        advice = "Part of the log could not be read, so this is not certain."
    return lines + wrapped(advice, paper.style.columns)


def _searched(e: Explanation, paper: Paper) -> str:
    if e.extent.since is None:
        return "Searched: the mail that waits; nothing was logged yet."
    files = f"{e.extent.files} day file{'' if e.extent.files == 1 else 's'}"
    text = f"Searched: the mail that waits, and {files} of the log"
    if e.query.since is not None:
        text += f" since {paper.zoned(e.query.since)}"
    if e.query.until is not None:
        text += f" until {paper.zoned(e.query.until)}"
    return f"{text}, which goes back to {paper.zoned(e.extent.since)}."


def _nearest(e: Explanation, paper: Paper) -> str:
    times = len(e.nearest)
    count = "once" if times == 1 else f"{times} times{'' if times < NEAREST else ' or more'}"
    last = e.nearest[0]
    return (
        f"Nearest: {harmless(e.nearest_to)} was seen {count}, last {paper.zoned(last.at)}"
        f" ({from_to(last, paper.style)}):"
    )


def _folded(e: Explanation, paper: Paper) -> list[str]:
    if not e.folded:
        return []
    total = sum(record.count for record in e.folded)
    checks = sorted({record.check or "refused" for record in e.folded})
    first = min(record.first_at for record in e.folded)
    last = max(record.last_at for record in e.folded)
    text = (
        f"Besides, {total} refused conversations like it were only counted, not kept, during a"
        f" flood between {paper.zoned(first)} and {paper.moment(last)}: {', '.join(checks)}."
    )
    return ["", *wrapped(harmless(text), paper.style.columns)]
