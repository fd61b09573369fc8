"""Tables about encryption on the way out: ``[tls_exemptions]``."""

from typing import Annotated

from msgspec import Meta, Struct

from postern.config.values import Count, Seconds


class TlsExemptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses where TLS does not work, so that mail for them goes in clear for a time."""

    learn: Annotated[
        bool,
        Meta(
            description="make one by itself where TLS was refused, broken or stalled, every other"
            " way failed too, and mail that nobody wants encrypted got through in clear"
        ),
    ] = True
    lasts_s: Annotated[Seconds, Meta(description="how long one that was learned holds")] = 604_800.0
    retest_s: Annotated[
        Seconds,
        Meta(
            description="from one test of TLS there to the next; sooner after a good one, and at"
            " first of one that was learned"
        ),
    ] = 86_400.0
    good_tests: Annotated[Count, Meta(description="good tests in a row that end one")] = 2
