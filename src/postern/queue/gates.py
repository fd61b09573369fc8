"""Which groups' mail may go: slow, shut, suspended, or opened again, and how each comes about.

Conducts what ``queue.pace`` learns. It is told of every attempt's end, and by ``routing`` what
probes and other workers saw (``GroupNews``).
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from postern.delivery.job import JobResult
from postern.mail.outcome import Deferred, Delivered, Outcome
from postern.mail.paths import GroupMood
from postern.queue.drain import drain
from postern.queue.group import Group
from postern.queue.groups import Groups
from postern.queue.lanes import Session
from postern.queue.pace import Answer, answer_of
from postern.queue.settings import QueueSettings
from postern.queue.suspension import Suspension
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.queue")

SWEEP_S = 0.25
"""How often lanes are looked at while anything is in them."""
LONGEST_THROTTLE_S = 14_400.0
FEW_READY = 16
"""Fresh mail that waits in memory for a group nothing good is known of; more waits on disk."""
MAX_REASON_CHARS = 200


class Conductor(Protocol):
    """The queue, as the gates move it."""

    def pump(self, group: Group) -> None:
        """Let what is ready go."""
        ...

    def fetch(self, group: Group) -> None:
        """Claim what waits on disk, as far as it may go."""
        ...

    def put_back(self, group: Group, keep: int = 0) -> None:
        """What is ready in memory, but the first ``keep``, waits on disk instead."""
        ...


class Gates:
    """Opens and shuts groups. All methods are for the loop's thread.

    Args:
        groups: all of them.
        conductor: who moves the mail.
        clock: both its readings.
        settings: slots, what servers say when they want less, and how fast what waited begins.
    """

    def __init__(
        self, groups: Groups, conductor: Conductor, clock: Clock, settings: QueueSettings
    ) -> None:
        self._groups = groups
        self._conductor = conductor
        self._clock = clock
        self._sweeping: asyncio.TimerHandle | None = None
        self._settings = settings
        self._stopped = False

    def reload(self, settings: QueueSettings) -> None:
        """Other slots, words and paces from now on."""
        self._settings = settings
        self._groups.resize(settings.worker_slots, settings.group_slots, settings.worker_slow_slots)

    # --- an attempt has ended ------------------------------------------------------------------

    def heard(self, session: Session, result: JobResult) -> None:
        """What one attempt told of its group: its pace follows, and it may open or shut.

        One without a try (DNS, a policy that allows no host, no way that is safe enough) tells
        nothing: no server of the group was asked.
        """
        if not result.attempts:
            return
        group, pace, outcomes = session.group, session.group.pace, result.outcomes
        answer = group.note_outcomes(outcomes, self._clock.now())
        if answer is Answer.GOOD:
            if session.is_slow(self._clock.monotonic()):
                self._took_long(session)
            else:
                pace.went_well(group.most_lanes)
            if pace.is_shut:
                self._answers(group)
            if group.drain is not None:
                self._drained(group, outcomes)
        elif answer is not Answer.NOTHING:
            self._met_trouble(session, answer, outcomes)

    def _took_long(self, session: Session) -> None:
        pace = session.group.pace
        pace.met_setback(session.began, self._clock.monotonic())
        pace.was_slow(self._clock.now())

    def _met_trouble(self, session: Session, answer: Answer, outcomes: Sequence[Outcome]) -> None:
        group, pace, now = session.group, session.group.pace, self._clock.now()
        said = next(str(o.reply) for o in outcomes if answer_of((o,), group.name) is answer)
        pace.met_setback(session.began, self._clock.monotonic())
        if session.is_slow(self._clock.monotonic()):
            pace.was_slow(now)
        if group.drain is not None and group.drain.went_badly():
            group.drain = None
        if answer is Answer.THROTTLED:
            self._answers(group)
            if not any(isinstance(outcome, Delivered) for outcome in outcomes):
                self._throttled(group, said)  # else it is about some recipients
        elif pace.failed(now, said):
            self._shut(group)
        elif pace.failures > 1:
            self._conductor.put_back(group, FEW_READY)

    def _drained(self, group: Group, outcomes: Sequence[Outcome]) -> None:
        """One of the waiting mails has had its turn."""
        assert group.drain is not None
        if not any(isinstance(outcome, Deferred) for outcome in outcomes):
            group.drain.went_well()
        elif group.drain.went_badly():
            group.drain = None

    def _throttled(self, group: Group, said: str) -> None:
        entry = self._settings.throttles.find(group.name, said)
        if entry is None or group.suspension is not None:
            return
        pace, now = group.pace, self._clock.now()
        is_again = now - pace.throttled_until < pace.throttled_s
        length_s = pace.throttled_s * 2 if is_again else entry.for_s
        pace.throttled_s = min(length_s, max(entry.for_s, LONGEST_THROTTLE_S))
        pace.throttled_until = now + pace.throttled_s
        reason = f"{entry.means or 'they ask for less'}: {said}"[:MAX_REASON_CHARS]
        group.suspension = Suspension(group.name, reason, now, pace.throttled_until)
        log.info("queue.throttled", group=group.name, for_s=pace.throttled_s, said=said)
        self._restrain(group)

    # --- open and shut -------------------------------------------------------------------------

    def group_changed(self, name: str, mood: GroupMood) -> None:
        """Evidence from elsewhere: probes, other workers, a route that somebody made."""
        group = self._groups.known(name)
        pace = self._groups.paces.known(name) if group is None else group.pace
        if mood is GroupMood.OPEN:
            if pace is not None:
                pace.open()
            if group is not None:
                self._let_go(group)
        elif group is not None and group.pace.shut(self._clock.now()):
            self._shut(group)

    def _answers(self, group: Group) -> None:
        """Something got through: where nothing did before, all that waits may go."""
        if group.pace.open():
            log.info("queue.group_open", group=group.name)
            self._let_go(group)

    def _shut(self, group: Group) -> None:
        log.info("queue.group_shut", group=group.name, because=group.pace.because)
        group.drain = None
        self._restrain(group)

    def _restrain(self, group: Group) -> None:
        self._conductor.put_back(group)

    def _let_go(self, group: Group) -> None:
        """All of its mail that waits on disk becomes due, paced."""
        if group.suspension is not None or not self._groups.is_waiting(group):
            return
        if group.drain is None:
            group.drain = drain(self._clock.now(), self._settings.worker_drain_per_s)
        group.has_more = True
        self._conductor.fetch(group)

    # --- suspended -----------------------------------------------------------------------------

    def suspend(self, suspensions: Mapping[str, Suspension]) -> None:
        """What people suspended, all of it, by group; what is so no more goes on at once."""
        freed = self._groups.suspend(suspensions)
        for name in suspensions:
            group = self._groups.known(name)
            if group is not None and group.suspension is suspensions[name]:
                group.drain = None
                self._restrain(group)
        for group in freed:
            self._let_go(group)

    def is_over(self, group: Group) -> bool:
        """Whether a suspension of ``group`` has come to its end; it is lifted."""
        suspension = group.suspension
        if suspension is None or suspension.ends_at(self._clock.now()) is not None:
            return False
        group.suspension = None
        if suspension.label:  # its mail was kept back by a person, and waits for nothing else
            self._let_go(group)
        return True

    def resume(self, name: str) -> bool:
        """A person lifts what Postern itself suspended; False when there is no such thing."""
        group = self._groups.known(name)
        if group is None or group.suspension is None or group.suspension.label:
            return False
        group.suspension = None
        group.pace.throttled_s = 0.0
        self._let_go(group)
        return True

    def try_now(self, name: str) -> None:
        """A person wants it tried: a shut group's next try comes at once."""
        group = self._groups.known(name)
        if group is not None and group.pace.is_shut:
            group.pace.probe_at = self._clock.now()

    def lets(self, group: Group) -> bool:
        """Whether one more mail of a restrained group may be tried now."""
        if group.suspension is not None and not self.is_over(group):
            return False
        return group.opens_at(self._clock.now()) is None

    # --- lanes ---------------------------------------------------------------------------------

    def keep_sweeping(self) -> None:
        """Look at the lanes now and then, while anything is in them."""
        if self._sweeping is None and not self._stopped:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._swept)

    def _swept(self) -> None:
        self._sweeping = None
        self.sweep()
        if self._groups.lanes.is_running or self._groups.lanes.is_line:
            self.keep_sweeping()

    def sweep(self) -> None:
        """Move what has become old to the slow lane; who waited for its slot goes."""
        lanes = self._groups.lanes
        for slow in lanes.sweep(self._clock.monotonic(), self._clock.now()):
            self._conductor.put_back(slow, FEW_READY)
        while (group := lanes.next_in_line()) is not None:
            self._conductor.pump(group)

    def stop(self) -> None:
        """No more of it."""
        self._stopped = True
        if self._sweeping is not None:
            self._sweeping.cancel()


def first_due(group: Group, now: float, otherwise_s: float) -> float:
    """When mail of a restrained group that was not tried yet is to be looked at again."""
    opens_at = group.opens_at(now)
    if opens_at is None:
        return now
    if opens_at < math.inf:
        return opens_at
    return group.pace.probe_at if group.suspension is None else now + otherwise_s
