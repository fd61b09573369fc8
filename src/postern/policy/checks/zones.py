"""Block lists and white lists in DNS: what each is, and whether it can be trusted now.

A list that was given up often lists everything, or nothing; one that does not like who asks
answers 127.255.255.x. Each of these has refused the mail of whole countries. So every list is
tested with the entries that RFC 5782 §5 promises, and is not asked while it fails.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import structlog

from postern.mail.dns import Answer, Question, Status
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.policy")

GOOD_S = 3600.0
"""How long a test that went well holds."""
BAD_S = 300.0
"""How soon a list that failed is tested again."""
MAX_SILENCES = 3
"""Questions in a row without an answer before a list leaves, until its next test goes well."""


class About(Enum):
    """What a list has entries for."""

    ADDRESSES = "addresses"
    NAMES = "names"


@dataclass(frozen=True, slots=True)
class Zone:
    """One list.

    Attributes:
        name: the zone that is asked, ``bl.example``.
        weight: what an entry counts.
        meanings: what an answer means, by its address; where there are any, others do not count.
        allow: a white list: an entry speaks for the client.
        weights: what an entry counts by its address, in place of ``weight``; of several addresses
            the highest counts.
    """

    name: str
    about: About = About.ADDRESSES
    weight: float = 1.0
    meanings: Mapping[str, str] = field(default_factory=dict, hash=False)
    allow: bool = False
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)


class Health(Enum):
    """How a list's last test went."""

    UNTESTED = "untested"
    GOOD = "good"
    LISTS_ALL = "lists-all"
    LISTS_NOTHING = "lists-nothing"
    REFUSES = "refuses"
    SILENT = "silent"


_WORDS = {
    Health.LISTS_ALL: "lists what must never be listed (127.0.0.1)",
    Health.LISTS_NOTHING: "does not list its own test entry",
    Health.REFUSES: "refuses to answer this resolver",
    Health.SILENT: "does not answer",
}


@dataclass(slots=True)
class _State:
    health: Health = Health.UNTESTED
    test_at: float = 0.0
    silences: int = 0


class Zones:
    """The lists of one worker, with their health. Only those that passed their test are in use."""

    def __init__(self, zones: Iterable[Zone], clock: Clock) -> None:
        self._clock = clock
        once = {(zone.name, zone.about): zone for zone in zones}
        self._states = {zone: _State() for zone in once.values()}

    def share(self, others: "Zones") -> None:
        """Have one state with ``others`` for each list that both have: one learns for both."""
        self._states = {
            zone: others.state_of(zone) or state for zone, state in self._states.items()
        }

    def state_of(self, zone: Zone) -> _State | None:
        """What is known of a list; None for one that is not here."""
        return self._states.get(zone)

    @property
    def health(self) -> dict[str, Health]:
        """The health of each list, by its name."""
        return {zone.name: state.health for zone, state in self._states.items()}

    def has(self, about: About) -> bool:
        """True when any list is of that kind, in use or not."""
        return any(zone.about is about for zone in self._states)

    def in_use(self, about: About) -> list[Zone]:
        """The lists that can be asked now."""
        return [
            zone
            for zone, state in self._states.items()
            if zone.about is about and state.health is Health.GOOD
        ]

    def distrust(self, zone: Zone, health: Health) -> None:
        """An answer in daily use showed that the list is not well.

        One that refuses leaves at once. One that was silent is tested at the next occasion, and
        leaves if it is silent then, or again and again until then: a single packet that was lost is
        no reason, and no more than a few messages wait for a list that hangs.
        """
        state = self._states[zone]
        if health is not Health.SILENT:
            self._note(zone, health)
            return
        state.silences += 1
        if state.silences >= MAX_SILENCES and state.health is Health.GOOD:
            self._note(zone, health)
        elif state.health is Health.GOOD:
            state.test_at = 0.0

    def trust(self, zone: Zone) -> None:
        """The list answered: it was not silent again and again."""
        self._states[zone].silences = 0

    async def test_due(self, lookup: Lookup) -> None:
        """Test every list whose last test is too old; call it every minute or so."""
        now = self._clock.monotonic()
        due = [zone for zone, state in self._states.items() if state.test_at <= now]
        for zone, health in zip(
            due, await asyncio.gather(*(test(zone, lookup) for zone in due)), strict=True
        ):
            self._note(zone, health)

    def _note(self, zone: Zone, health: Health) -> None:
        state = self._states[zone]
        if health is not state.health:
            if health is not Health.GOOD:
                log.error("dnsbl.left", zone=zone.name, text=f"it {_WORDS[health]}")
            elif state.health is not Health.UNTESTED:
                log.info("dnsbl.back", zone=zone.name)
        state.health = health
        state.silences = 0
        state.test_at = self._clock.monotonic() + (GOOD_S if health is Health.GOOD else BAD_S)


async def test(zone: Zone, lookup: Lookup) -> Health:
    """Ask for the entry that must be there and for the one that must not (RFC 5782 §5)."""
    listed, unlisted = await asyncio.gather(
        *(
            lookup.ask(Question.of(f"{label}.{zone.name}", "A"), foreign_ok=False)
            for label in _TESTS[zone.about]
        )
    )
    for answer in (listed, unlisted):
        if not answer.status.is_known:
            return Health.SILENT
        if is_refusal(answer):
            return Health.REFUSES
    if unlisted.status is Status.OK:
        return Health.LISTS_ALL
    return Health.GOOD if listed.status is Status.OK else Health.LISTS_NOTHING


_TESTS = {
    About.ADDRESSES: ("2.0.0.127", "1.0.0.127"),
    About.NAMES: ("test", "invalid"),
}


def is_refusal(answer: Answer) -> bool:
    """True for what is no entry: codes for "you may not ask", and addresses no list gives out."""
    return any(
        record in _NO_ENTRIES or record.startswith("127.255.255.") or not record.startswith("127.")
        for record in answer.records
    )


_NO_ENTRIES = frozenset({"127.0.0.1", "127.0.0.255"})
"""How lists of names, and white lists, tell whoever asked too often."""
