"""What one worker judges by: the checks that the configuration asks for, over its resolvers."""

import asyncio
from collections.abc import Mapping

import structlog

from postern.policy.checks.asked import Asked
from postern.policy.checks.check import Found, Seen
from postern.policy.checks.content import check_content, has_content
from postern.policy.checks.dkim import check_dkim
from postern.policy.checks.dmarc import Way, check_dmarc
from postern.policy.checks.dnsbl import check_dnsbl, check_names, names_of
from postern.policy.checks.helo import check_helo
from postern.policy.checks.letter import Depth, Letter
from postern.policy.checks.mailfrom import check_mailfrom
from postern.policy.checks.ptr import check_ptr
from postern.policy.checks.spf import LIMIT_S as SPF_LIMIT_S
from postern.policy.checks.spf import check_spf
from postern.policy.checks.standards import check_standards
from postern.policy.checks.zones import About, Zones
from postern.policy.examiner import LetterCheck
from postern.policy.greylist.greylist import Greylist
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.panel import Check, Known, Stage
from postern.policy.policy import Memory, Policy
from postern.policy.rates import Rates, RateSettings
from postern.policy.rules.store import RuleStore
from postern.policy.scanners.scanners import Scanners
from postern.policy.settings import PolicySettings
from postern.runtime.clock import Clock, Instant
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.worker")

BLOCKLIST_LIMIT_S = 8.0
"""All lists together; each is bounded by itself: one that hangs takes nothing from the others."""
MORE_S = 4.0
"""On top of what SPF takes for itself, so that it can still say what it could not tell."""


class Judging:
    """The checks of one configuration, the block lists that they ask, and the scanners."""

    def __init__(
        self, settings: PolicySettings, lookup: Lookup, memory: Memory, clock: Clock
    ) -> None:
        self._lookup = lookup
        self._settings = settings
        self.zones = Zones(settings.zones, clock)
        self.scanners = Scanners(settings.scanners, clock)
        self._memory = memory
        self.policy = Policy(
            self._checks(),
            self._letter_checks(),
            memory,
            _rates(settings.rates, memory, clock),
            _greylist(settings.greylist, memory, clock),
            Depth(settings.limits, settings.content.watched),
            settings.help_url,
            self.scanners if settings.scanners else None,
        )

    def begin(self) -> None:
        """From now on it is this configuration that counts; making it has changed nothing yet."""
        if self._memory.patience is not None:
            self._memory.patience.wait_s = self._settings.dns_patience_s

    def take_over(self, before: "Judging") -> None:
        """Go on with what is known of the block lists, and let the old ones learn as well."""
        self.zones.share(before.zones)
        self.scanners.take_over(before.scanners)

    def _checks(self) -> tuple[Check, ...]:
        lookup, zones, threshold = self._lookup, self.zones, self._settings.dnsbl_threshold

        async def ptr(seen: Seen) -> Found:
            asked = Asked(lookup)
            return asked.placed(await check_ptr(seen, asked))

        async def dnsbl(seen: Seen) -> Found:
            return await check_dnsbl(seen.ip, zones, lookup, threshold=threshold)

        async def dnsbl_names(seen: Seen) -> Found:
            names = await names_of(seen, lookup)
            return await check_names(names, zones, lookup, threshold=threshold)

        async def helo(seen: Seen) -> Found:
            asked = Asked(lookup)
            return asked.placed(await check_helo(seen, asked))

        async def mailfrom(seen: Seen) -> Found:
            asked = Asked(lookup)
            return asked.placed(await check_mailfrom(seen, asked))

        async def spf(seen: Seen) -> Found:
            asked = Asked(lookup)
            return asked.placed(await check_spf(seen, asked))

        return (
            Check("ptr", Stage.CONNECT, ptr, at_once=True),
            Check("dnsbl", Stage.CONNECT, dnsbl, BLOCKLIST_LIMIT_S, at_once=True),
            *(
                [Check("dnsbl", Stage.MAIL, dnsbl_names, BLOCKLIST_LIMIT_S, at_once=True)]
                if zones.has(About.NAMES)
                else []
            ),
            # Its name may be said as often as a client likes; it is looked up for mail alone.
            Check("helo", Stage.MAIL, helo, at_once=True),
            Check("mailfrom", Stage.MAIL, mailfrom, at_once=True),
            Check("spf", Stage.MAIL, spf, SPF_LIMIT_S + MORE_S, at_once=True),
        )

    def _letter_checks(self) -> tuple[LetterCheck, ...]:
        lookup, believed, settings = self._lookup, self._settings.believed, self._settings.content

        async def dkim(letter: Letter, known: Known) -> Found:
            del known
            asked = Asked(lookup)
            return asked.placed(await check_dkim(letter, asked))

        async def dmarc(letter: Letter, known: Known) -> Found:
            asked = Asked(lookup)
            way = Way(known.sealer, known.ptr, known.proven, believed)
            found = await check_dmarc(letter, known.identifiers, known.findings, asked, way)
            return asked.placed(found)

        async def standards(letter: Letter, known: Known) -> Found:
            del known
            return await check_standards(letter)

        async def content(letter: Letter, known: Known) -> Found:
            del known
            return await check_content(letter, settings)

        return (
            LetterCheck("standards", standards, at_once=True),
            LetterCheck("content", content, concerns=has_content, at_once=True),
            LetterCheck("dkim", dkim, at_once=True),
            LetterCheck("dmarc", dmarc, weighs=True, at_once=True),
        )

    async def test_zones(self) -> None:
        """Test the block lists that are due; whatever goes wrong, they are tested again."""
        try:
            await self.zones.test_due(self._lookup)
        except Exception:
            log.exception("worker.blocklists")

    async def write_uses(self, store: RuleStore, others: Mapping[str, tuple[int, Instant]]) -> None:
        """Write down how often rules, and ``others``, were of use.

        What can't be written is only not counted.
        """
        uses = {**self.policy.memory.uses.take(), **others}
        if not uses:
            return
        try:
            await asyncio.to_thread(store.count_uses, uses)
        except Exception:
            log.exception("worker.rule_uses")


def _rates(settings: RateSettings, memory: Memory, clock: Clock) -> Rates | None:
    if settings.is_off or memory.rates is None:
        return None
    return Rates(settings, memory.rates, clock)


def _greylist(settings: GreylistSettings, memory: Memory, clock: Clock) -> Greylist | None:
    if settings.mode is Mode.OFF or memory.keeper is None:
        return None
    return Greylist(settings, memory.keeper, clock)
