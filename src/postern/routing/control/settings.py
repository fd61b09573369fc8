"""What can be set about relays that Postern engages; all of it comes from ``[paths]``."""

from dataclasses import dataclass

from postern.routing.paths.groups import Knobs
from postern.routing.routes.route import Policy


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """``knobs``: how careful; ``policy``: of groups of which nobody said otherwise.

    ``lasts_s``: how long a route holds that Postern made.
    """

    knobs: Knobs = Knobs()  # noqa: RUF009 - it is frozen
    policy: Policy = Policy.AUTOMATIC
    lasts_s: float = 14 * 86_400.0
