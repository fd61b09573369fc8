"""Tables about the ways out: ``[paths]``."""

from typing import Annotated

from msgspec import Meta, Struct

from postern.config.values import Count, Seconds


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """How blocked paths are tested, without mail (`docs/paths.md`)."""

    first_retest_s: Annotated[
        Seconds, Meta(description="first test of a blocked path after this; then more seldom")
    ] = 15.0
    retest_s: Annotated[Seconds, Meta(description="longest time between two tests of a path")] = (
        1800.0
    )
    probes: Annotated[Count, Meta(description="tests at a time, in all")] = 20
    probes_per_minute: Annotated[Count, Meta(description="tests a minute, in all")] = 300
