"""What ``postern paths --json`` and ``temporary list --json`` tell, by the keys scripts rely on.

A key that is missing, or of another type, fails whoever reads it.
"""

from typing import Literal

import msgspec
from tests.peers.postern_server import PosternServer

GroupState = Literal["healthy", "degraded", "blocked", "probing"]


class Address(msgspec.Struct, frozen=True):
    """One address of a group, through one egress."""

    mx: str
    address: str
    egress: str
    state: GroupState
    tls: str | None
    last_error: str | None
    since: str | None


class Group(msgspec.Struct, frozen=True):
    """An MX group. ``route``: the relay its mail takes now; nothing where it goes direct."""

    mx_group: str
    domains: int
    state: GroupState
    since: str | None
    route: str | None
    addresses: list[Address]


class Paths(msgspec.Struct, frozen=True):
    """The answer of ``postern paths``."""

    schema: Literal[1]
    groups: list[Group]


class Temporary(msgspec.Struct, frozen=True):
    """An exception that holds now."""

    id: str
    kind: str
    what: str
    reason: str
    owner: str
    until: str | None


class Temporaries(msgspec.Struct, frozen=True):
    """The answer of ``postern temporary list``."""

    temporaries: list[Temporary]


def paths(server: PosternServer) -> dict[str, Group]:
    """The groups that ``postern paths`` knows of, by their names."""
    text = server.cli("paths", "--json", codes=(0, 1, 2))
    return {group.mx_group: group for group in msgspec.json.decode(text, type=Paths).groups}


def group(server: PosternServer, name: str) -> Group:
    """One group; healthy and direct where nothing is known of it."""
    return paths(server).get(name) or Group(name, 0, "healthy", None, None, [])


def temporaries(server: PosternServer, kind: str = "", about: str = "") -> list[Temporary]:
    """Exceptions of a kind (``route``, ``tls`` …) whose description names ``about``."""
    text = server.cli("temporary", "list", "--json", codes=(0, 1, 2))
    found = msgspec.json.decode(text, type=Temporaries).temporaries
    return [one for one in found if kind in {"", one.kind} and about in f"{one.what} {one.reason}"]
