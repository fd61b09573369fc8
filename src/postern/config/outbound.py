"""Tables about the ways out: ``[[resolver]]``, ``[[egress]]`` and ``[paths]``."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.places import Bind
from postern.config.values import Count, Seconds, Text


class Resolver(Struct, frozen=True, forbid_unknown_fields=True):
    """A DNS resolver. The first is home; others are asked when it couldn't tell."""

    name: Annotated[Text, Meta(description="what results call it: the place seen from")]
    servers: Annotated[
        tuple[Bind, ...], Meta(description="`ADDRESS:PORT` of each server, asked in this order")
    ]
    transport: Annotated[
        Literal["udp", "tcp", "tls"], Meta(description="how to ask; `udp` falls back to TCP")
    ] = "udp"
    timeout_s: Annotated[Seconds, Meta(description="how long one question may take")] = 5.0
    trusted: Annotated[
        bool | None,
        Meta(
            description="what the first says of DNSSEC is believed, so that DANE may rest on it:"
            " nobody between it and us can forge that; not set: where it is on this machine"
        ),
    ] = None


class Egress(Struct, frozen=True, forbid_unknown_fields=True):
    """A way out: direct, or through a relay."""

    name: Annotated[Text, Meta(description="what routes and results call it")]
    source: Annotated[str, Meta(description="local address to connect from; empty: any")] = ""
    helo: Annotated[str, Meta(description="name given in EHLO; empty: `hostname`")] = ""
    relay: Annotated[
        str, Meta(description="`HOST:PORT` of the relay; empty: straight to the MX hosts")
    ] = ""
    username: Annotated[str, Meta(description="login at the relay; empty: none")] = ""
    password_file: Annotated[
        Path | None,
        Meta(description="file whose first line is the password; nobody else may read it"),
    ] = None
    tls: Annotated[
        Literal["opportunistic", "encrypt", "verify"] | None,
        Meta(
            description="TLS towards the relay; not set: `verify` with a login, for its password"
            " goes to whoever answers there, else `opportunistic`. A login is only given when the"
            " line is encrypted"
        ),
    ] = None

    address: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses that mail leaves the relay from, for the sender's SPF;"
            " empty: those of `relay`"
        ),
    ] = ()
    enforces_tls: Annotated[
        bool,
        Meta(
            description="the relay enforces DANE, MTA-STS and REQUIRETLS by itself: you promise it;"
            " otherwise mail that needs them does not go through it"
        ),
    ] = False

    @property
    def demanded_tls(self) -> str:
        """What ``tls`` says, or means where it is not set."""
        return self.tls or ("verify" if self.username else "opportunistic")

    def read_password(self) -> str:
        """The first line of ``password_file``, or nothing without one; raises OSError."""
        if self.password_file is None:
            return ""
        return (self.password_file.read_text(encoding="utf-8").splitlines() or [""])[0]


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
    route_days: Annotated[
        Count,
        Meta(description="days that a route of Postern's own holds; made anew if need be"),
    ] = 14
