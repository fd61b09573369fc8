"""Tries TLS again at exempted addresses, in the background, and ends what is not needed any more.

Once a day each, sooner after a test that went well: two good ones in a row end it. What Postern
learned itself is tested after an hour, two, four and so on up to a day: it may be that somebody on
the way only once took TLS out, and mail must not go in clear for a day because of that. It is
renewed while it is broken and used; what a person made ends at its date.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from postern.mail.paths import Observation, Sign
from postern.mail.route import Target, TlsDemand, TlsPolicy, Way
from postern.routing.settings import DIRECT, EgressSettings, RoutingSettings
from postern.routing.tls.exemptions.exemption import DAY_S, Exemption, Tests
from postern.routing.tls.exemptions.store import ExemptionStore
from postern.runtime.clock import Clock, Instant, rfc3339

log = structlog.get_logger("postern.routing")

TEST_LIMIT_S = 120.0
AT_ONCE = 10
"""Tests that run at the same time."""
CONFIRM_SHARE = 1 / 24
"""A good test is confirmed after this share of the usual time: an hour of a day. What was learned
is tested so soon for the first time."""


class Probe(Protocol):
    """Connects, says EHLO and STARTTLS, shakes hands, and leaves: no MAIL."""

    async def probe(self, way: Way) -> Observation | None:
        """What showed at last; None: nothing, by our own trouble.

        Never raises for what a peer or the network does.
        """
        ...


@dataclass(frozen=True, slots=True)
class RetestSettings:
    """``lasts_s``: of what is learned, and by how much it is renewed. ``good_tests`` end one."""

    retest_s: float = DAY_S
    lasts_s: float = 7 * DAY_S
    good_tests: int = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done after a test. ``until``: its new end."""

    tests: Tests
    is_healed: bool = False
    until: Instant | None = None


def is_due(exemption: Exemption, now: Instant, settings: RetestSettings) -> bool:
    """Whether it should be tested now."""
    tests, made_at = exemption.tests, exemption.temporary.created_at
    last = made_at if tests.at is None else tests.at
    wait_s, soon_s = settings.retest_s, settings.retest_s * CONFIRM_SHARE
    if tests.good:
        wait_s = soon_s
    elif exemption.is_learned:
        wait_s = min(wait_s, max(soon_s, last - made_at))  # as long again as it was broken
    return now - last >= wait_s


def weigh(
    exemption: Exemption, seen: Observation, now: Instant, settings: RetestSettings
) -> Verdict:
    """What a test means for the exemption it was made for. Pure."""
    tests, made = exemption.tests, exemption.temporary
    if seen.sign is Sign.ANSWERED and seen.path.encrypted:
        since = tests.good_since if tests.good and tests.good_since is not None else now
        good = Tests(now, tests.good + 1, since, f"TLS works since {rfc3339(since)[:16]}")
        return Verdict(good, is_healed=good.good >= settings.good_tests)
    said = f" ({seen.text})" if seen.text else ""
    bad = Tests(now, 0, None, f"{seen.sign.value}{said}")
    if not seen.sign.is_tls or not exemption.is_learned or made.until is None:
        return Verdict(bad)  # an address that does not answer tells nothing of its TLS
    ends_soon = made.until - now < 2 * settings.retest_s
    last = made.last_used_at
    is_used = last is not None and now - last <= settings.lasts_s
    return Verdict(bad, until=now + settings.lasts_s if ends_soon and is_used else None)


def way_to(exemption: Exemption, settings: RoutingSettings) -> Way:
    """How TLS is tried at an exempted address: straight there, by the egress it is known by."""
    place = exemption.place
    known = (settings.egress(place.egress), settings.egress(None), *settings.egresses)
    direct = (one for one in known if one is not None and one.relay is None)
    egress = next(direct, EgressSettings(DIRECT)).as_egress()
    demand = TlsDemand(TlsPolicy.ENCRYPT, source=exemption.label)
    return Way(egress, Target(place.host, place.ip, place.port or settings.port, demand))


class Retests:
    """Belongs to one worker of the site.

    Args:
        store: where exemptions are.
        probe: what tries TLS.
        routing: which egress and port are usual.
        changed: told of each end and renewal: the action, the address, and a sentence.
        settings: how often, and how many good ones.
        clock: the wall clock.
    """

    def __init__(
        self,
        store: ExemptionStore,
        probe: Probe,
        routing: RoutingSettings,
        changed: Callable[[str, str, str], None],
        settings: RetestSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._probe = probe
        self._routing = routing
        self._changed = changed
        self._settings = settings
        self._clock = clock

    async def test_due(self) -> None:
        """Test those that are due; returns when all are done."""
        now = self._clock.now()
        known = await asyncio.to_thread(self._store.all)
        due = [one for one in known if is_due(one, now, self._settings)]
        for at in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._test(one) for one in due[at : at + AT_ONCE]))

    async def _test(self, exemption: Exemption) -> None:
        try:
            # What was forced on a domain that asks for more is no wrong that TLS alone heals: a
            # certificate nobody can verify encrypts as well as any. It ends at its date.
            if exemption.insists:
                return
            way = way_to(exemption, self._routing)
            async with asyncio.timeout(TEST_LIMIT_S):
                seen = await self._probe.probe(way)
            if seen is None:
                return
            await self._act(exemption, weigh(exemption, seen, self._clock.now(), self._settings))
        except Exception:
            log.exception("tls.retest", exemption=exemption.label)

    async def _act(self, exemption: Exemption, verdict: Verdict) -> None:
        await asyncio.to_thread(self._store.note_test, exemption, verdict.tests)
        label, ip = exemption.label, exemption.ip
        if verdict.is_healed:
            since = verdict.tests.good_since
            why = f"TLS works again since {rfc3339(since or self._clock.now())[:16]} UTC"
            if await asyncio.to_thread(self._store.end_healed, exemption, why):
                self._changed("tls.ended", ip, f"{label} ended: {why}")
            return
        until = verdict.until
        if until is not None and await asyncio.to_thread(self._store.renew, exemption, until):
            text = f"{label} goes on until {rfc3339(until)[:10]}: {verdict.tests.text}"
            self._changed("tls.renewed", ip, text)
