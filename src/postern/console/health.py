"""Whether the server takes mail now, and if not why, in one sentence each."""

from collections.abc import Sequence

from postern.runtime.clock import Instant
from postern.runtime.processes import WorkerStatus, stale_workers


def reasons_not_ready(statuses: Sequence[WorkerStatus], workers: int, now: Instant) -> list[str]:
    """Why the server is not ready; nothing when it is.

    Every worker must have reported within ``FRESH_S`` and be able to write its spool.
    """
    reasons = []
    stale = set()
    for number, age_s in stale_workers(statuses, workers, now):
        stale.add(number)
        last = "has never reported" if age_s is None else f"last reported {age_s:.0f} s ago"
        reasons.append(f"worker {number} {last}")
    for status in statuses:
        if status.number < workers and status.number not in stale and not status.spool_writable:
            why = status.reason or "no reason given"
            reasons.append(f"worker {status.number} cannot write its spool: {why}")
    return reasons
