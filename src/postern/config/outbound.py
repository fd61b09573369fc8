"""Tables about the ways out: ``[paths]``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.values import Count, Seconds


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """How blocked paths are tested (`docs/paths.md`), and what relays do then (`docs/relay.md`)."""

    first_retest_s: Annotated[
        Seconds, Meta(description="first test of a blocked path after this; then more seldom")
    ] = 15.0
    retest_s: Annotated[
        Seconds,
        Meta(
            description="longest time between two tests of a path; and from one test of a relayed"
            " group's direct path to the next"
        ),
    ] = 1800.0
    probes: Annotated[Count, Meta(description="tests at a time, in all")] = 20
    probes_per_minute: Annotated[Count, Meta(description="tests a minute, in all")] = 300

    relay: Annotated[
        Literal["automatic", "propose", "never"],
        Meta(
            description="a blocked MX group's mail through a relay: engage it and take it back"
            " `automatic`ally, `propose` it in `postern paths`, or `never`;"
            " `postern route policy` says otherwise for one group"
        ),
    ] = "automatic"
    good_tests: Annotated[
        Count, Meta(description="good tests in a row before single messages go direct again")
    ] = 3
    canaries: Annotated[
        Count, Meta(description="of these, good ones in a row before the relay is taken back")
    ] = 3
    drain_per_min: Annotated[
        Count,
        Meta(description="waiting mail of one group that goes in a minute once it has a way"),
    ] = 60
    route_days: Annotated[
        Count,
        Meta(description="days that a route of Postern's own holds; made anew if need be"),
    ] = 14
