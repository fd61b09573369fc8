"""Block lists and white lists: whether the client's address, or a domain, is on any of them.

Source: RFC 5782 §2.1 (addresses), §2.2 (names), §2.4 (IPv6). Home's resolver alone is asked: lists
answer by who asks, and many refuse a resolver that they do not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.dns import Answer, Question, reversed_ip
from postern.mail.finding import Finding, Result, Whose
from postern.mail.message.text import clean_text
from postern.policy.checks.check import Found, ask_all
from postern.policy.checks.zones import About, Health, Zone, Zones, is_refusal
from postern.runtime.resolver.lookup import Lookup

MAX_NAMES = 5
MAX_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One listing: what is on which list, what that means, and what it counts."""

    what: str
    zone: Zone
    meaning: str
    counts: float


async def check_dnsbl(ip: str, zones: Zones, lookup: Lookup, *, threshold: float = 1.0) -> Found:
    """``dnsbl.listed`` once the weights of all lists, less those of white lists, reach it."""
    return await _check(About.ADDRESSES, {ip: reversed_ip(ip)}, zones, lookup, threshold)


async def check_names(
    names: Iterable[str], zones: Zones, lookup: Lookup, *, threshold: float = 1.0
) -> Found:
    """The same for domains (lower-case A-labels), of the sender or of the client."""
    some = list(dict.fromkeys(name for name in names if name))[:MAX_NAMES]
    return await _check(About.NAMES, {name: name for name in some}, zones, lookup, threshold)


async def _check(
    about: About, asked: dict[str, str], zones: Zones, lookup: Lookup, threshold: float
) -> Found:
    in_use = zones.in_use(about)
    pairs = [(what, zone) for zone in in_use for what in asked]
    questions = [Question.of(f"{asked[what]}.{zone.name}", "A") for what, zone in pairs]
    answers = await ask_all(lookup, questions, foreign_ok=False)
    entries: list[Entry] = []
    findings: list[Finding] = []
    answered: set[str] = set()
    for (what, zone), answer in zip(pairs, answers, strict=True):
        trouble = _trouble(answer)
        if trouble is not None:
            zones.distrust(zone, trouble)
            findings.append(_untold(what, zone, answer))
        else:
            answered.add(zone.name)
            entries += _entries(what, zone, answer)
    # What a list says of it is asked only where it is held against somebody.
    is_listed = _total(entries) >= threshold
    if is_listed:
        entries = await _with_reasons(entries, asked, lookup)
    return Found((*_findings(entries, answered, is_listed=is_listed), *findings))


def _trouble(answer: Answer) -> Health | None:
    if not answer.status.is_known:
        return Health.SILENT
    return Health.REFUSES if is_refusal(answer) else None


def _untold(what: str, zone: Zone, answer: Answer) -> Finding:
    text = f"whether {what} is on {zone.name} could not be looked up"
    return Finding(
        "dnsbl.couldnt-tell", Result.COULDNT_TELL, text, Whose.US, answer.seconds, answer.resolver
    )


def _entries(what: str, zone: Zone, answer: Answer) -> list[Entry]:
    """What the answer says; one whose meaning nobody wrote down counts only if none was."""
    if not answer.records:
        return []
    known = [zone.meanings[code] for code in answer.records if code in zone.meanings]
    if zone.meanings and not known:
        return [Entry(what, zone, f"{', '.join(sorted(answer.records))}: unknown here", 0.0)]
    weight = -zone.weight if zone.allow else zone.weight
    return [Entry(what, zone, ", ".join(known), weight)]


async def _with_reasons(entries: list[Entry], asked: dict[str, str], lookup: Lookup) -> list[Entry]:
    """Entries with what the list itself says of them (RFC 5782 §2.1), where nobody else did."""
    bare = [entry for entry in entries if not entry.meaning and entry.counts > 0]
    questions = [Question.of(f"{asked[one.what]}.{one.zone.name}", "TXT") for one in bare]
    answers = await ask_all(lookup, questions, foreign_ok=False)
    said = {
        id(entry): clean_text(answer.records[0], MAX_REASON_CHARS) if answer.records else ""
        for entry, answer in zip(bare, answers, strict=True)
    }
    return [Entry(e.what, e.zone, said.get(id(e), e.meaning), e.counts) for e in entries]


def _total(entries: Iterable[Entry]) -> float:
    """What all lists together say; a list counts once, whatever it lists several of."""
    by_zone: dict[str, float] = {}
    for entry in entries:
        by_zone[entry.zone.name] = max(by_zone.get(entry.zone.name, entry.counts), entry.counts)
    return round(sum(by_zone.values()), 6)  # 0.7 + 0.2 + 0.1 is 1


def _findings(entries: list[Entry], answered: set[str], *, is_listed: bool) -> list[Finding]:
    if not entries and answered:
        return [Finding("dnsbl.listed", Result.PASS, f"on none of {len(answered)} lists")]
    return [
        Finding(
            "dnsbl.listed",
            Result.FAIL if is_listed and entry.counts > 0 else Result.NOTE,
            _words(entry),
        )
        for entry in entries
    ]


def _words(entry: Entry) -> str:
    kind = "white list" if entry.zone.allow else "blocklist"
    why = f" ({entry.meaning})" if entry.meaning else ""
    return f"{entry.what} is on the {kind} {entry.zone.name}{why}"
