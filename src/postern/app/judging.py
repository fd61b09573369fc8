"""What one worker judges by: the checks that the configuration asks for, over its resolvers."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from postern.mail.address import Address
from postern.policy.checks.check import Found, Seen
from postern.policy.checks.dkim import check_dkim
from postern.policy.checks.dmarc import check_dmarc
from postern.policy.checks.dnsbl import check_dnsbl
from postern.policy.checks.helo import check_helo
from postern.policy.checks.letter import Letter
from postern.policy.checks.mailfrom import check_mailfrom
from postern.policy.checks.ptr import check_ptr
from postern.policy.checks.spf import LIMIT_S as SPF_LIMIT_S
from postern.policy.checks.spf import check_spf
from postern.policy.checks.standards import check_standards
from postern.policy.checks.zones import Zone, Zones
from postern.policy.examiner import LetterCheck
from postern.policy.panel import Check, Known, Stage
from postern.policy.policy import Policy
from postern.policy.rules.store import Books, RuleStore
from postern.policy.uses import Uses
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.worker")

BLOCKLIST_LIMIT_S = 5.0
"""A list that says nothing holds nothing up for long: what it might say is one hint of many."""
MORE_S = 2.0
"""On top of what SPF takes for itself, so that it can still say what it could not tell."""


class Judging:
    """The checks of one configuration, and the block lists that they ask."""

    def __init__(
        self,
        zones: Iterable[Zone],
        lookup: Lookup,
        books: Books,
        uses: Uses,
        clock: Clock,
        knows: Callable[[str, Address], bool],
    ) -> None:
        self._lookup = lookup
        self.zones = Zones(zones, clock)
        self.policy = Policy(self._checks(), self._letter_checks(), books, uses, knows)

    def take_over(self, before: "Judging") -> None:
        """Go on with what is known of the block lists, and let the old ones learn as well."""
        self.zones.share(before.zones)

    def _checks(self) -> tuple[Check, ...]:
        lookup, zones = self._lookup, self.zones

        async def ptr(seen: Seen) -> Found:
            return await check_ptr(seen, lookup)

        async def dnsbl(seen: Seen) -> Found:
            return await check_dnsbl(seen.ip, zones, lookup)

        async def helo(seen: Seen) -> Found:
            return await check_helo(seen, lookup)

        async def mailfrom(seen: Seen) -> Found:
            return await check_mailfrom(seen, lookup)

        async def spf(seen: Seen) -> Found:
            return await check_spf(seen, lookup)

        return (
            Check("ptr", Stage.CONNECT, ptr, at_once=True),
            Check("dnsbl", Stage.CONNECT, dnsbl, BLOCKLIST_LIMIT_S, at_once=True),
            # Its name may be said as often as a client likes; it is looked up for mail alone.
            Check("helo", Stage.MAIL, helo, at_once=True),
            Check("mailfrom", Stage.MAIL, mailfrom, at_once=True),
            Check("spf", Stage.MAIL, spf, SPF_LIMIT_S + MORE_S, at_once=True),
        )

    def _letter_checks(self) -> tuple[LetterCheck, ...]:
        lookup = self._lookup

        async def dkim(letter: Letter, known: Known) -> Found:
            del known
            return await check_dkim(letter, lookup)

        async def dmarc(letter: Letter, known: Known) -> Found:
            return await check_dmarc(letter, known.identifiers, known.findings, lookup)

        async def standards(letter: Letter, known: Known) -> Found:
            del known
            return await check_standards(letter)

        return (
            LetterCheck("standards", standards, at_once=True),
            LetterCheck("dkim", dkim, at_once=True),
            LetterCheck("dmarc", dmarc, at_once=True),
        )

    async def test_zones(self) -> None:
        """Test the block lists that are due; whatever goes wrong, they are tested again."""
        try:
            await self.zones.test_due(self._lookup)
        except Exception:
            log.exception("worker.blocklists")

    async def write_uses(self, store: RuleStore) -> None:
        """Write down how often rules were of use; what can't be written is only not counted."""
        uses = self.policy.uses.take()
        if not uses:
            return
        try:
            await asyncio.to_thread(store.count_uses, uses)
        except Exception:
            log.exception("worker.rule_uses")
