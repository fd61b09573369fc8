"""Block lists and white lists: whether the client's address, or a domain, is on any of them.

Source: RFC 5782 §2.1 (addresses), §2.2 (names), §2.4 (IPv6). Home's resolver alone is asked: lists
answer by who asks, and many refuse a resolver that they do not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.address import to_a_labels
from postern.mail.dns import Answer, Question, Status, reversed_ip
from postern.mail.finding import Finding, Result, Whose
from postern.mail.message.text import clean_text
from postern.policy.checks.check import Found, Seen
from postern.policy.checks.zones import About, Health, Zone, Zones, is_refusal
from postern.runtime.eager import together, within
from postern.runtime.resolver.lookup import Lookup

MAX_NAMES = 5
ZONE_LIMIT_S = 2.5
"""For one list's answer: what the others said is known by then, and it is one hint of many."""
REASON_LIMIT_S = 1.0
"""For what a list says of an entry: good to know, and nothing to wait for."""
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


async def names_of(seen: Seen, lookup: Lookup) -> list[str]:
    """The domains of a client and its sender: the sender's, its own word, its reverse DNS names.

    The last need not be confirmed: whoever has such a name put into DNS speaks against himself.
    """
    answer = await _ask(lookup, Question.reverse(seen.ip), ZONE_LIMIT_S, foreign_ok=True)
    said = [seen.helo, *answer.records]
    if seen.mail_from is not None and not seen.mail_from.is_literal:
        said.insert(0, seen.mail_from.domain)
    names = (to_a_labels(name.removesuffix(".")) for name in said)
    return [name for name in names if name is not None and "." in name]


async def _check(
    about: About, asked: dict[str, str], zones: Zones, lookup: Lookup, threshold: float
) -> Found:
    in_use = zones.in_use(about)
    pairs = [(what, zone) for zone in in_use for what in asked]
    answers = await together(
        _ask(lookup, Question.of(f"{asked[what]}.{zone.name}", "A"), ZONE_LIMIT_S)
        for what, zone in pairs
    )
    entries: list[Entry] = []
    findings: list[Finding] = []
    answered: set[str] = set()
    for (what, zone), answer in zip(pairs, answers, strict=True):
        trouble = _trouble(answer)
        if trouble is not None:
            zones.distrust(zone, trouble)
            findings.append(_untold(what, zone, answer))
        else:
            zones.trust(zone)
            answered.add(zone.name)
            entries += _entries(what, zone, answer)
    # What a list says of it is asked only where it is held against somebody.
    is_listed = _total(entries) >= threshold
    if is_listed:
        entries = await _with_reasons(entries, asked, lookup)
    return Found((*_findings(entries, answered, is_listed=is_listed), *findings))


async def _ask(
    lookup: Lookup, question: Question, limit_s: float, *, foreign_ok: bool = False
) -> Answer:
    """What one list says within its limit; the question goes on, for whoever asks the same next."""
    try:
        return await within(lookup.ask(question, foreign_ok=foreign_ok), limit_s)
    except TimeoutError:
        return Answer(question, Status.TIMEOUT, resolver=lookup.home, seconds=limit_s)


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
    known = [code for code in answer.records if code in zone.meanings or code in zone.weights]
    if (zone.meanings or zone.weights) and not known:
        return [Entry(what, zone, f"{', '.join(sorted(answer.records))}: unknown here", 0.0)]
    weight = max((zone.weights.get(code, zone.weight) for code in known), default=zone.weight)
    meaning = ", ".join(zone.meanings[code] for code in known if code in zone.meanings)
    return [Entry(what, zone, meaning, -weight if zone.allow else weight)]


async def _with_reasons(entries: list[Entry], asked: dict[str, str], lookup: Lookup) -> list[Entry]:
    """Entries with what the list itself says of them (RFC 5782 §2.1), where nobody else did."""
    bare = [entry for entry in entries if not entry.meaning and entry.counts > 0]
    answers = await together(
        _ask(lookup, Question.of(f"{asked[one.what]}.{one.zone.name}", "TXT"), REASON_LIMIT_S)
        for one in bare
    )
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
            _result(entry, is_listed=is_listed),
            _words(entry),
        )
        for entry in entries
    ]


def _result(entry: Entry, *, is_listed: bool) -> Result:
    """A white list speaks for it; block lists below the threshold are only noted."""
    if entry.zone.allow:
        return Result.PASS
    return Result.FAIL if is_listed and entry.counts > 0 else Result.NOTE


def _words(entry: Entry) -> str:
    kind = "white list" if entry.zone.allow else "blocklist"
    why = f" ({entry.meaning})" if entry.meaning else ""
    return f"{entry.what} is on the {kind} {entry.zone.name}{why}"
