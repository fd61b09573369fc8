"""Tables about the ways out: ``[paths]``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.values import Count, Seconds


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done when the mail hosts of a group cannot be reached."""

    relay: Annotated[
        Literal["automatic", "propose", "never"],
        Meta(
            description="a blocked MX group's mail through a relay: engage it and take it back"
            " `automatic`ally, `propose` it in `postern paths`, or `never`;"
            " `postern route policy` says otherwise for one group"
        ),
    ] = "automatic"
    retest_s: Annotated[
        Seconds, Meta(description="from one test of a relayed group's direct path to the next")
    ] = 1800.0
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
