"""The doctor looks at what is held for its owners, and whether they hear of it."""

from collections.abc import Iterator, Sequence

from postern.diagnosis.doctor_results import Result, Site, ok, warning
from postern.runtime.processes import WorkerStatus, read_statuses

PREFIX = "postern_quarantine_"
UNTOLD_S = 3 * 86_400.0
"""A letter goes out once a day, and is tried for some days: longer than this it does not arrive."""


def examine_quarantine(site: Site) -> Iterator[Result]:
    """How much is held, and whether its owners were told; as the workers last reported."""
    yield from judge_quarantine(read_statuses(site.run_dir), site.hostname)


def judge_quarantine(statuses: Sequence[WorkerStatus], hostname: str) -> Iterator[Result]:
    """Two results, or none while nothing is held."""
    count = _sum(statuses, "messages")
    if not count:
        return
    size_mb = _sum(statuses, "bytes") / 1e6
    days = _most(statuses, "oldest_age_seconds") / 86_400.0
    noun = "message is" if count == 1 else "messages are"
    yield ok(
        "quarantine.held",
        f"{count:.0f} {noun} held for their owners ({size_mb:.1f} MB), the oldest for"
        f" {days:.0f} days",
    )
    untold, waits_s = _sum(statuses, "untold"), _most(statuses, "untold_age_seconds")
    if waits_s > UNTOLD_S:
        yield warning(
            "quarantine.told",
            f"owners do not hear of {untold:.0f} that are held for them, of one for"
            f" {waits_s / 86_400.0:.0f} days: these never expire",
            f"see why the letters do not arrive: postern why MAILER-DAEMON@{hostname}; or leave"
            " their owners out with no_digest_for in [quarantine]",
        )


def _sum(statuses: Sequence[WorkerStatus], name: str) -> float:
    return sum(status.gauges.get(PREFIX + name, 0.0) for status in statuses)


def _most(statuses: Sequence[WorkerStatus], name: str) -> float:
    return max((status.gauges.get(PREFIX + name, 0.0) for status in statuses), default=0.0)
