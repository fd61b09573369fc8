"""The state of an MX group: direct, degraded, relayed, probing. Pure: what stands, what happened.

- **direct**: mail goes straight to the mail hosts, as far as anybody knows.
- **degraded**: none of its addresses answers, and no relay is engaged: nobody may engage one by
  himself (``propose``, ``never``), or there is none that is well.
- **relayed**: none of its addresses answered, and its mail leaves through a relay. The direct path
  is tested at intervals; it has to answer ``good_tests`` times in a row.
- **probing**: it did; now single messages go direct, one at a time for all workers. One that fails
  by the network falls back to the relay in the same attempt and ends the trial; after ``canaries``
  good ones the relay is taken back.

So a path that fails every second try stays relayed: it never has enough good tests in a row. Where
it fails again soon after the relay was taken back, the next way back takes twice as long, bounded.
"""

from dataclasses import dataclass, replace
from enum import Enum

from postern.routing.routes.route import Policy
from postern.runtime.clock import Instant

ENOUGH_FAILURES = 3
ENOUGH_ADDRESSES = 2
PATIENCE_S = 3.5
"""So long the addresses that nobody had asked may take to show whether they answer."""
SHORT_PATIENCE_S = 1.0
"""The same where a relay has answered, and no direct address."""
RELAPSE_S = 6 * 3600.0
"""Blocked again so soon after the relay was taken back, it has not been well at all."""
FORGET_S = 7 * 86_400.0
"""So long a group has not answered; it may be there no more."""
MAX_RELAPSES = 4
CANARY_S = 300.0
"""How long a worker may keep the right to the next canary; then another takes it."""
MAX_TESTED = 40
"""Addresses of one group whose tests are remembered."""


class GroupState(Enum):
    """Where a group is. The values are words of ``postern paths``."""

    DIRECT = "direct"
    DEGRADED = "degraded"
    RELAYED = "relayed"
    PROBING = "probing"

    @property
    def is_relayed(self) -> bool:
        """Whether a relay takes its mail, all but canaries."""
        return self in {GroupState.RELAYED, GroupState.PROBING}


@dataclass(frozen=True, slots=True)
class Knobs:
    """How careful the machine is. Times in seconds."""

    retest_s: float = 1800.0
    good_tests: int = 3
    canaries: int = 3
    quiet_s: float = 86_400.0
    """After a person withdrew a relay, so long none is engaged for that group."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks against the direct paths of a group: the network's evidence alone.

    Args:
        failures: in all, those of each address in a row.
        failing: addresses that do not answer.
        known: addresses it has, as far as they were seen; 0: not known, and nothing follows.
        since: the first of these failures.
        ips: the addresses that fail.
        answers: another address of it has answered since.
        relayed: a relay has answered since, where no direct address had.
        words: what most of them show, such as ``do not answer``.
        latest: the last of these failures that was news; the others are asked again since then.
    """

    failures: int
    failing: int
    known: int
    since: Instant
    ips: tuple[str, ...] = ()
    answers: bool = False
    relayed: bool = False
    words: str = "do not answer"
    latest: Instant = 0.0

    @property
    def is_much(self) -> bool:
        """Three failures at two addresses, or at all it has, and none that answers."""
        if not self.known or self.answers or self.failures < ENOUGH_FAILURES:
            return False
        return self.failing >= ENOUGH_ADDRESSES or self.known <= self.failing

    def is_enough(self, now: Instant) -> bool:
        """The same, and the others have been asked, or had the time to answer: they are tested."""
        if not self.is_much:
            return False
        if self.failing >= self.known:
            return True
        if self.relayed:
            return now - self.since >= SHORT_PATIENCE_S
        return now - max(self.since, self.latest) >= PATIENCE_S

    def text(self) -> str:
        """``3 of 5 MX addresses do not answer``."""
        many = f"{self.failing} of {max(self.known, self.failing)} MX addresses"
        return f"{many} {self.words}"


@dataclass(frozen=True, slots=True)
class AddressTests:
    """One address: good tests in a row, and when the last that counted began."""

    ip: str
    good: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a group that is not simply direct, or was not lately.

    Args:
        group: its name.
        version: moves with every change; who changes it must have seen the one before.
        state: where it is.
        since: since when.
        evidence: why, in words.
        blocked_since: the first of the failures that speak against the direct path; 0: none.
        route: key of the route that Postern engaged.
        via: the relay it leads through.
        failing: the addresses that did not answer when it was made.
        tests: of the direct addresses, while relayed.
        canaries: good ones in a row, while probing.
        canary_until: a worker has the right to the next one until then.
        relapses: how often it was blocked again soon after the relay had been taken back.
        withdrawn_at: when a relay was last taken back; 0: never.
        quiet_until: a person withdrew it; until then none is engaged.
        is_proposed: a relay is waiting for somebody to say yes.
    """

    group: str
    version: int = 0
    state: GroupState = GroupState.DIRECT
    since: Instant = 0.0
    evidence: str = ""
    blocked_since: Instant = 0.0
    route: str = ""
    via: str = ""
    failing: tuple[str, ...] = ()
    tests: tuple[AddressTests, ...] = ()
    canaries: int = 0
    canary_until: Instant = 0.0
    relapses: int = 0
    withdrawn_at: Instant = 0.0
    quiet_until: Instant = 0.0
    is_proposed: bool = False

    @property
    def good_tests(self) -> int:
        """Of the address that has most in a row."""
        return max((tested.good for tested in self.tests), default=0)

    def interval_s(self, knobs: Knobs) -> float:
        """From one test of the direct path to the next."""
        return knobs.retest_s * float(2**self.relapses)

    def is_history(self, now: Instant) -> bool:
        """Whether nothing of it matters any more."""
        if self.state is GroupState.DEGRADED:
            return now - self.since >= FORGET_S
        is_over = self.state is GroupState.DIRECT and now >= self.quiet_until
        return is_over and now - self.withdrawn_at >= RELAPSE_S


class Remedy(Enum):
    """What is to be done about a blocked group."""

    NOTHING = "nothing"  # it is on record already, or a person withdrew the relay
    NOTE = "note"  # put on record that nothing answers
    PROPOSE = "propose"
    ENGAGE = "engage"


def remedy(standing: Standing, policy: Policy, relay: str, now: Instant) -> Remedy:
    """What to do about a group that evidence shows to be blocked.

    Args:
        standing: what stands.
        policy: what Postern may do by itself.
        relay: one that is well and may take mail; empty: there is none.
        now: the moment.
    """
    if standing.state.is_relayed:
        return Remedy.NOTHING
    may_engage = relay and policy is Policy.AUTOMATIC and now >= standing.quiet_until
    if may_engage:
        return Remedy.ENGAGE
    if relay and policy is not Policy.NEVER and not standing.is_proposed:
        return Remedy.PROPOSE
    return Remedy.NOTHING if standing.state is GroupState.DEGRADED else Remedy.NOTE


def degraded(
    standing: Standing, evidence: Evidence, now: Instant, *, is_proposed: bool
) -> Standing:
    """Nothing answers directly, and no relay is engaged."""
    is_news = standing.state is not GroupState.DEGRADED
    return replace(
        standing,
        state=GroupState.DEGRADED,
        since=now if is_news else standing.since,
        evidence=evidence.text(),
        blocked_since=evidence.since,
        is_proposed=is_proposed,
    )


def engaged(standing: Standing, route: str, via: str, evidence: Evidence, now: Instant) -> Standing:
    """A relay takes its mail from now on."""
    relapsed = standing.withdrawn_at > 0.0 and now - standing.withdrawn_at < RELAPSE_S
    return replace(
        standing,
        state=GroupState.RELAYED,
        since=now,
        evidence=evidence.text(),
        blocked_since=evidence.since,
        route=route,
        via=via,
        failing=evidence.ips[:MAX_TESTED],
        tests=(),
        canaries=0,
        canary_until=0.0,
        relapses=min(MAX_RELAPSES, standing.relapses + 1) if relapsed else 0,
        is_proposed=False,
    )


def adopted(standing: Standing, route: str, via: str, reason: str, now: Instant) -> Standing:
    """A route that Postern had made stands, and whoever made it was killed before he noted it."""
    return replace(
        standing,
        state=GroupState.RELAYED,
        since=now,
        evidence=reason,
        blocked_since=now,
        route=route,
        via=via,
        failing=(),
        tests=(),
        is_proposed=False,
    )


def tested(standing: Standing, ip: str, now: Instant, knobs: Knobs, *, is_good: bool) -> Standing:
    """A direct address was tested while a relay takes the mail; enough good ones begin the trial.

    Good ones count once in half an interval: answers within one minute are one answer. An address
    that nobody had asked when the relay was engaged, and that answers, begins the trial by itself.
    """
    if standing.state is not GroupState.RELAYED:
        return standing
    before = {one.ip: one for one in standing.tests}
    known = before.get(ip)
    if not is_good:
        if known is None or known.good:
            before[ip] = AddressTests(ip, 0, now)
    elif known is None or now - known.at >= standing.interval_s(knobs) / 2:
        before[ip] = AddressTests(ip, 1 if known is None else known.good + 1, now)
    else:
        return standing
    tests = tuple(before.values())[-MAX_TESTED:]
    after = replace(standing, tests=tests)
    was_unasked = (
        is_good and known is None and bool(standing.failing) and ip not in standing.failing
    )
    if after.good_tests < knobs.good_tests and not was_unasked:
        return after if after != standing else standing
    return replace(after, state=GroupState.PROBING, since=now, canaries=0, canary_until=0.0)


def claim_canary(standing: Standing, now: Instant) -> Standing | None:
    """Take the right to send the next canary; None: it is not the time, or another has it."""
    if standing.state is not GroupState.PROBING or now < standing.canary_until:
        return None
    return replace(standing, canary_until=now + CANARY_S)


def canary_ended(standing: Standing, now: Instant, *, is_good: bool | None) -> Standing:
    """A canary came back; None: nothing was learned of the path, and another goes."""
    if standing.state is not GroupState.PROBING:
        return standing
    if is_good is None:
        return replace(standing, canary_until=0.0)
    if is_good:
        return replace(standing, canaries=standing.canaries + 1, canary_until=0.0)
    return replace(
        standing,
        state=GroupState.RELAYED,
        since=now,
        tests=tuple(AddressTests(one.ip, 0, now) for one in standing.tests),
        canaries=0,
        canary_until=0.0,
        relapses=min(MAX_RELAPSES, standing.relapses + 1),
    )


def is_proven(standing: Standing, knobs: Knobs) -> bool:
    """Whether the relay can be taken back."""
    return standing.state is GroupState.PROBING and standing.canaries >= knobs.canaries


def withdrawn(standing: Standing, now: Instant, knobs: Knobs, *, by_person: bool) -> Standing:
    """The relay takes its mail no longer; after a person said so, none is engaged for a while."""
    return replace(
        standing,
        state=GroupState.DIRECT,
        since=now,
        evidence="",
        blocked_since=0.0,
        route="",
        via="",
        failing=(),
        tests=(),
        canaries=0,
        canary_until=0.0,
        withdrawn_at=0.0 if by_person else now,
        quiet_until=now + knobs.quiet_s if by_person else 0.0,
    )


def recovered(standing: Standing, now: Instant) -> Standing:
    """A direct address answers where none did, and no relay had been engaged."""
    if standing.state is not GroupState.DEGRADED:
        return standing
    return replace(
        standing,
        state=GroupState.DIRECT,
        since=now,
        evidence="",
        blocked_since=0.0,
        is_proposed=False,
    )


def asked_again(standing: Standing) -> Standing:
    """A person set the policy: what he withdrew before no longer keeps a relay away."""
    return replace(standing, quiet_until=0.0)
