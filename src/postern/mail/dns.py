"""DNS questions and answers as values: what was asked, and exactly what came of it.

A name that does not exist, a name without such records, a server failure and silence are four
different things (RFC 2308, RFC 8020); only the first two are facts about the name.
"""

import ipaddress
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Self, TypeVar


class Status(Enum):
    """How a look-up ended."""

    OK = "ok"
    NO_NAME = "no-name"  # NXDOMAIN
    NO_DATA = "no-data"  # the name exists, not this type
    SERVER_FAILURE = "server-failure"  # SERVFAIL, REFUSED, lame, DNSSEC bogus
    TIMEOUT = "timeout"

    @property
    def is_known(self) -> bool:
        """True when the answer is a fact; False is "couldn't tell"."""
        return self is not Status.SERVER_FAILURE and self is not Status.TIMEOUT


@dataclass(frozen=True, slots=True)
class Question:
    """A name (lower-case A-labels, no final dot) and a record type such as ``MX``."""

    name: str
    type: str

    @classmethod
    def of(cls, name: str, type_: str) -> Self:
        """The question in its one spelling, whatever case or final dot ``name`` came with."""
        return cls(name.lower().removesuffix("."), type_.upper())

    @classmethod
    def reverse(cls, ip: str) -> Self:
        """The PTR question about an IPv4 or IPv6 address (RFC 1035 §3.5, RFC 3596 §2.5).

        Raises:
            ValueError: ``ip`` is not an address.
        """
        return cls(ipaddress.ip_address(ip.partition("%")[0]).reverse_pointer, "PTR")


def reversed_ip(ip: str) -> str:
    """An address as the labels that block lists are asked with (RFC 5782 §2.1, §2.4).

    ``192.0.2.99`` becomes ``99.2.0.192``; an IPv6 address becomes its 32 nibbles, reversed.

    Raises:
        ValueError: ``ip`` is not an address.
    """
    name = ipaddress.ip_address(ip.partition("%")[0]).reverse_pointer
    return name.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX: hosts with a lower preference are tried first (RFC 5321 §5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    ``records``: text of each record: addresses for A/AAAA, host names without the final dot for
    PTR/CNAME, joined strings for TXT (each octet one Latin-1 character, so nothing is lost),
    ``"10 mx.example"`` for MX (see ``mx``), presentation format for others.
    ``ttl_s``: seconds the answer may still be kept, negative answers by RFC 2308; 0 when couldn't
    tell.
    ``secure``: DNSSEC vouches for all of it, "there is nothing" and aliases included (RFC 6840
    §5.8, the AD bit): said by our own resolver, where it is trusted. Never of another's answer.
    ``canonical``: the name at the end of a chain of aliases; empty: there was none.
    ``resolver``: name of the resolver that answered. ``seconds``: time taken; 0.0 from cache.
    ``confirmed_by``: another resolver that found nothing there either. ``denied_by``: one that
    said that there is nothing, where this answer, of another, is not the same.
    """

    question: Question
    status: Status
    records: tuple[str, ...] = ()
    ttl_s: int = 0
    secure: bool = False
    resolver: str = ""
    seconds: float = 0.0
    confirmed_by: str = ""
    denied_by: str = ""
    canonical: str = ""

    @property
    def is_negative(self) -> bool:
        """True when it says that there is nothing: no such name, or no such data."""
        return self.status in {Status.NO_NAME, Status.NO_DATA}

    def mx(self) -> tuple[MxRecord, ...]:
        """The records as MX values, lowest preference first; the null MX has host ``""``."""
        parsed = []
        for record in self.records:
            preference, _, host = record.partition(" ")
            parsed.append(MxRecord(int(preference), host.rstrip(".")))
        return tuple(sorted(parsed, key=lambda mx: mx.preference))


T = TypeVar("T")

Inquiry = Generator[tuple[Question, ...], tuple[Answer, ...], T]
"""Work that needs DNS, without a network.

It yields questions that may be asked at the same time, is sent their answers in the same order, and
returns what it made of them. Whoever drives it brings the resolver, the time limit, the patience.
"""
