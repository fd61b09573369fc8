"""What can be set about paths; all of it comes from ``[paths]``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How blocked paths are tested.

    A path is tested ``first_retest_s`` after it was blocked, then more and more seldom, and no less
    often than every ``retest_s``. ``at_a_time`` and ``per_minute`` bound the tests of all
    ``workers`` together.
    """

    first_retest_s: float = 15.0
    retest_s: float = 1800.0
    at_a_time: int = 20
    per_minute: int = 300
    workers: int = 1
