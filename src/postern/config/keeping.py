"""Tables about what is kept, written and shown here: spool, journal, notices, console, log."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.places import Bind
from postern.config.values import MIB, Count, Text


class Spool(Struct, frozen=True, forbid_unknown_fields=True):
    """Where accepted mail waits."""

    body_in_row_bytes: Annotated[
        int, Meta(ge=0, description="larger bodies go to files of their own")
    ] = 65536
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="accepting stops when less is free than this and twice the largest message",
        ),
    ] = 256 * MIB
    ballast_bytes: Annotated[
        int, Meta(ge=0, description="file given up when the disk is full, so the queue can drain")
    ] = 64 * MIB


class Journal(Struct, frozen=True, forbid_unknown_fields=True):
    """How long it is remembered what happened."""

    keep_days: Annotated[Count, Meta(description="days that conversations stay on file")] = 30
    transcript_days: Annotated[
        Count, Meta(description="days that transcripts of refused conversations stay")
    ] = 7
    disk_budget_mb: Annotated[
        Count, Meta(description="the oldest days go earlier when all take more than this")
    ] = 10240


class Notices(Struct, frozen=True, forbid_unknown_fields=True):
    """The mail Postern writes itself."""

    full_original_bytes: Annotated[
        int, Meta(ge=0, description="a failure notice brings back originals up to this whole")
    ] = 50000
    timezone: Annotated[
        Text, Meta(description="whose times letters tell, and `digest_hour` is in: `Asia/Shanghai`")
    ] = "UTC"


class Console(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP side: metrics and health."""

    bind: Annotated[
        Bind, Meta(description="`ADDRESS:PORT`; port 0 takes a free one. Keep it off the internet")
    ] = Bind(host="127.0.0.1", port=8025)


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least that is written")
    ] = "info"
    format: Annotated[
        Literal["auto", "plain", "journald", "json"],
        Meta(description="`auto`: `journald` when stderr goes there, else `plain`"),
    ] = "auto"
