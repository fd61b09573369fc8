"""What ``/metrics`` says of paths: how many groups are not well, and which. No addresses."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import structlog

from postern.console.metrics import Sample
from postern.routing.paths.health import PathCondition
from postern.routing.paths.overview import look
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.runtime.clock import Instant
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.console")

MOST_GROUPS = 100
"""Groups that are named; strangers' DNS says how many there are."""

_TOLD = (PathCondition.BLOCKED, PathCondition.PROBING, PathCondition.DEGRADED)


def path_samples(data_dir: Path, now: Instant) -> Iterator[Sample]:
    """Numbers of what is on file; nothing where the file does not answer."""
    if not (data_dir / FILE_NAME).exists():
        return
    try:
        view = PathView.open(data_dir)
        try:
            found = look(view, now, only_bad=True)
        finally:
            view.close()
    except (DatabaseTroubleError, OSError) as error:
        log.warning("console.paths", text=str(error))
        return
    counts = Counter(line.condition for line in found)
    for condition in _TOLD:
        yield Sample("postern_mx_groups", (("state", condition.value),), counts[condition])
    for line in found[:MOST_GROUPS]:
        is_up = line.condition is not PathCondition.BLOCKED
        yield Sample("postern_mx_group_up", (("mx_group", line.name),), float(is_up))
