"""How long mail is kept waiting because DNS does not answer: a day for one sender.

After that "couldn't tell" is only noted, whichever check of that side says it: else a sender would
wait a day for each of them in turn. The time counts from the first "not now"; it begins anew
for a sender not heard of for half a day, since its server then stopped trying or the trouble was
over, and for one that has waited already only after a week: one name server that is dead for good
must not cost a day for every message.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from threading import Semaphore

import structlog

from postern.mail.finding import Finding, Result, Whose
from postern.policy.judge import Gravity, Judgement
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import family_of
from postern.policy.untold.store import UntoldStore
from postern.runtime.clock import Instant
from postern.runtime.database.beside import FileTrouble

log = structlog.get_logger("postern.policy")

WAIT_S = 86_400.0
GAP_S = 43_200.0
KEEP_S = 7 * 86_400.0

OF_CLIENT = frozenset({"ptr", "helo"})
"""Families that look up the client; one sender is its network: who retries may change servers."""
OF_SENDER = frozenset({"mailfrom", "spf", "dkim", "dmarc"})
"""Families that look up the sender's domain."""
_FAMILIES = OF_CLIENT | OF_SENDER

MAX_NOTED = 10_000
"""Whom this worker wrote down lately; written again no sooner than ``AGAIN_S``."""
AGAIN_S = 600.0
MAX_WAITING = 1_000
"""Notes on their way to the disk; more are dropped: a flood waits longer, and fills no memory."""
CLOSE_S = 2.0
"""How long a stop waits for them."""

_Pair = tuple[str, str]


def open_patience(path: Path) -> "Patience | None":
    """The file's, or None where it cannot be used: all are then kept waiting, and the log says so.

    A note of who waited is no reason not to take mail.
    """
    try:
        return Patience(path)
    except (FileTrouble, OSError) as error:
        log.error("policy.untold", text=f"{path.name}: {error}; move it away and restart")  # noqa: TRY400 - the text is the cause
        return None


class Patience:
    """For one worker, over the file that all workers share; it outlives reloads.

    ``wait_s`` may be set at any time.
    """

    def __init__(self, path: Path, wait_s: float = WAIT_S) -> None:
        self.wait_s = wait_s
        self._reading = UntoldStore(path)
        self._writing = UntoldStore(path)
        self._thread = ThreadPoolExecutor(1, "untold")
        self._noted: OrderedDict[_Pair, Instant] = OrderedDict()
        self._room = Semaphore(MAX_WAITING)

    def without_overdue(
        self, findings: Sequence[Finding], facts: Facts, now: Instant
    ) -> tuple[Finding, ...]:
        """The findings; what DNS has not told of this sender for long enough is only noted."""
        return tuple(self._noted_only(one, facts, now) if _is_dns(one) else one for one in findings)

    def note(self, judgements: Iterable[Judgement], facts: Facts, now: Instant) -> None:
        """Remember where nothing but DNS kept a message waiting; another thread writes it down."""
        pairs = {
            _pair(one.finding, facts)
            for judgement in judgements
            if judgement.gravity is Gravity.REFUSE_FOR_NOW
            for one in judgement.weighed
            if one.gravity is Gravity.REFUSE_FOR_NOW and _is_dns(one.finding)
        }
        fresh = [pair for pair in pairs if now - self._noted.get(pair, -AGAIN_S) >= AGAIN_S]
        if not fresh or not self._submit(fresh, now):
            return
        for pair in fresh:
            self._noted[pair] = now
            self._noted.move_to_end(pair)
        while len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)

    def close(self) -> None:
        """Write what is left, and close the file; not on the loop: it may take ``CLOSE_S``.

        What a disk or another process does not let be written by then is not written.
        """
        last = self._thread.submit(_nothing)
        is_written = bool(wait([last], CLOSE_S).done)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._reading.close()
        if is_written:
            self._writing.close()

    def _noted_only(self, finding: Finding, facts: Facts, now: Instant) -> Finding:
        since = self._overdue_since(_pair(finding, facts), now)
        if since is None:
            return finding
        day = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M UTC")
        text = f"{finding.text}; so since {day}, and no longer waited for"
        return replace(finding, result=Result.NOTE, text=text)

    def _overdue_since(self, pair: _Pair, now: Instant) -> Instant | None:
        try:
            found = self._reading.find(*pair)
        except FileTrouble as error:
            log.warning("policy.untold", text=str(error))
            return None
        if found is None:
            return None
        first, last = found
        is_over = now - first >= self.wait_s
        if not is_over or now - last > (KEEP_S if last - first >= self.wait_s else GAP_S):
            return None
        # Heard of again: its week begins anew.
        if now - last >= AGAIN_S:
            self._submit([pair], now)
        return first

    def _submit(self, pairs: Sequence[_Pair], now: Instant) -> bool:
        if not self._room.acquire(blocking=False):
            return False
        self._thread.submit(self._write, pairs, now)
        return True

    def _write(self, pairs: Sequence[_Pair], now: Instant) -> None:
        """On the thread."""
        try:
            self._writing.note(pairs, now, wait_s=self.wait_s, gap_s=GAP_S, keep_s=KEEP_S)
        except FileTrouble as error:
            log.warning("policy.untold", text=str(error))
        finally:
            self._room.release()


def _nothing() -> None:
    """What comes last."""


def untold_field(findings: Iterable[Finding]) -> bytes:
    """``X-Postern-Couldnt-Tell: mailfrom, spf`` for what was let through untold; else nothing."""
    families = dict.fromkeys(
        family_of(one.check)
        for one in findings
        if one.result is Result.NOTE and one.check in _UNTOLD_CHECKS
    )
    return f"X-Postern-Couldnt-Tell: {', '.join(families)}\r\n".encode() if families else b""


_UNTOLD_CHECKS = frozenset(
    {"mailfrom.dns-timeout", *(f"{family}.couldnt-tell" for family in _FAMILIES)}
)
"""As results other than "couldn't tell" they stand for nothing else than what was waited for."""


def _is_dns(finding: Finding) -> bool:
    """Whether DNS did not tell; an error of ours, or a check that we gave up, is not that."""
    return (
        finding.result is Result.COULDNT_TELL
        and finding.whose is not Whose.US
        and family_of(finding.check) in _FAMILIES
    )


def _pair(finding: Finding, facts: Facts) -> _Pair:
    """Who is kept waiting, and by what is looked up of whom."""
    side = "client" if family_of(finding.check) in OF_CLIENT else "sender"
    sender = facts.mail_from
    if side == "sender" and sender is not None and sender.domain:
        return sender.domain, side
    if facts.ip is None:
        return "", side
    length = 24 if facts.ip.version == 4 else 64
    return str(ip_network((facts.ip, length), strict=False)), side
