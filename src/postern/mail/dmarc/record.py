"""DMARC policy records: what a domain's owner asks of those who receive its mail.

A mistake in one tag costs that tag, not the record: it counts as not given (RFC 9989 §4.8). Only a
record that does not begin with ``v=DMARC1`` is no record. The ABNF's strings are case-insensitive
(RFC 5234 §2.3), ``DMARC1`` alone is not. ``pct``, ``rf`` and ``ri`` are history and ignored like
any unknown tag.

Source: RFC 9989 §4.7, §4.8, §4.10.1; RFC 6376 §3.2 (tag lists).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar
from urllib.parse import unquote

from postern.mail.address import Address, parse_address

MAX_URIS = 10
"""More reporting addresses than this are not looked at (RFC 9990 §3.5: up to our limit)."""

_MAX_CACHED_CHARS = 1_024
_MAX_SIZE_DIGITS = 15


class Policy(Enum):
    """What is to become of mail that fails, mildest first."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 to 2, for comparing."""
        return (Policy.NONE, Policy.QUARANTINE, Policy.REJECT).index(self)

    @property
    def one_level_lower(self) -> "Policy":
        """What ``t=y`` makes of it (RFC 9989 §4.7)."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE


class Psd(Enum):
    """The ``psd`` tag: is the domain one that others register names under?"""

    YES = "y"
    NO = "n"
    UNSAID = "u"


class Mode(Enum):
    """How near an authenticated domain must be to the author's."""

    RELAXED = "r"
    STRICT = "s"


class FailureOption(Enum):
    """When a failure report is wanted (the ``fo`` tag)."""

    ALL_FAIL = "0"
    ANY_FAILS = "1"
    DKIM_FAILS = "d"
    SPF_FAILS = "s"


@dataclass(frozen=True, slots=True)
class ReportUri:
    """One place that wants reports.

    ``text`` is the URI without its size, ``address`` the mailbox of a ``mailto:`` (None: a scheme
    we do not speak, to be ignored). ``limit_bytes`` is the obsolete ``!10m``; RFC 9989 §4.8 lets
    reporters ignore it.
    """

    text: str
    address: Address | None = None
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A policy record, with the defaults filled in.

    ``sp`` and ``np`` are None where not given. ``is_usable`` False: a policy is misspelt and there
    is nobody to tell, so DMARC does not apply (RFC 9989 §4.10.1); with somebody to tell it is as if
    it said ``p=none``. ``flaws`` are the tags that were thrown away, for people who look for their
    mistake. ``text`` is the record as published.
    """

    text: str
    p: Policy = Policy.NONE
    sp: Policy | None = None
    np: Policy | None = None
    psd: Psd = Psd.UNSAID
    is_test: bool = False
    adkim: Mode = Mode.RELAXED
    aspf: Mode = Mode.RELAXED
    rua: tuple[ReportUri, ...] = ()
    ruf: tuple[ReportUri, ...] = ()
    fo: tuple[FailureOption, ...] = (FailureOption.ALL_FAIL,)
    is_usable: bool = True
    flaws: tuple[str, ...] = ()


T = TypeVar("T")

_POLICIES = {policy.value: policy for policy in Policy}
_PSDS = {psd.value: psd for psd in Psd}
_MODES = {mode.value: mode for mode in Mode}
_YES_OR_NO = {"y": True, "n": False}
_FAILURE_OPTIONS = {option.value: option for option in FailureOption}

# The tag-list grammar of RFC 6376 §3.2 lets blanks stand before the first tag as well.
_VERSION = re.compile(r"[ \t]*+[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)")
_TAG = re.compile(r"[ \t]*+([A-Za-z]++)[ \t]*+=([\t\x20-\x3a\x3c-\x7e]*+)")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):([\x21-\x7e]++)")
_SIZE = re.compile(r"([0-9]++)([kmgtKMGT]?)")
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def parse_record(text: str) -> Record | None:
    """The record that a TXT record's joined strings hold, or None when they are something else."""
    if _VERSION.match(text) is None:
        return None
    return _remembered(text) if len(text) <= _MAX_CACHED_CHARS else _read(text)


@lru_cache(maxsize=2_048)
def _remembered(text: str) -> Record:
    """Few domains send most of the mail; their records need reading once."""
    return _read(text)


def _read(text: str) -> Record:
    """The record in a text that begins with its version."""
    flaws: list[str] = []
    tags = _tags(text, flaws)
    p = _choice(tags, "p", _POLICIES, flaws)
    sp = _choice(tags, "sp", _POLICIES, flaws)
    np = _choice(tags, "np", _POLICIES, flaws)
    rua = _uris(tags, "rua", flaws)
    ruf = _uris(tags, "ruf", flaws)
    is_usable = True
    if not {"p", "sp", "np"}.isdisjoint(flaws):
        p, sp, np, is_usable = Policy.NONE, None, None, bool(rua)
    return Record(
        text,
        # Not given is p=none whatever else there is (RFC 9989 §4.7); misspelt is another matter.
        p=p or Policy.NONE,
        sp=sp,
        np=np,
        psd=_choice(tags, "psd", _PSDS, flaws) or Psd.UNSAID,
        is_test=_choice(tags, "t", _YES_OR_NO, flaws) or False,
        adkim=_choice(tags, "adkim", _MODES, flaws) or Mode.RELAXED,
        aspf=_choice(tags, "aspf", _MODES, flaws) or Mode.RELAXED,
        rua=rua,
        ruf=ruf,
        fo=_failure_options(tags, flaws) if ruf else (FailureOption.ALL_FAIL,),
        is_usable=is_usable,
        flaws=tuple(flaws),
    )


def _tags(text: str, flaws: list[str]) -> dict[str, str]:
    """Tags by their lower-case names.

    No tag may stand twice (RFC 6376 §3.2). One that says two different things says nothing, and
    like any other mistake (RFC 9989 §4.8) costs only itself.
    """
    tags: dict[str, str] = {}
    for part in text.split(";")[1:]:
        match = _TAG.fullmatch(part)
        if match is None:
            continue
        name, value = match[1].lower(), match[2].strip(" \t")
        if tags.setdefault(name, value) != value:
            tags[name] = ""
            if name not in flaws:
                flaws.append(name)
    return tags


def _choice(
    tags: Mapping[str, str], name: str, choices: Mapping[str, T], flaws: list[str]
) -> T | None:
    """What a tag with fixed words says; None when it is not given or wrong."""
    value = tags.get(name)
    if value is None:
        return None
    chosen = choices.get(value.lower())
    if chosen is None and name not in flaws:
        flaws.append(name)
    return chosen


def _failure_options(tags: Mapping[str, str], flaws: list[str]) -> tuple[FailureOption, ...]:
    """The ``fo`` tag: each option at most once, never both 0 and 1 (RFC 9989 §4.7, §4.8)."""
    words = [word.strip(" \t").lower() for word in tags.get("fo", "0").split(":")]
    options = [_FAILURE_OPTIONS[word] for word in words if word in _FAILURE_OPTIONS]
    is_torn = FailureOption.ALL_FAIL in options and FailureOption.ANY_FAILS in options
    if len(options) < len(words) or len(set(options)) < len(options) or is_torn:
        if "fo" not in flaws:
            flaws.append("fo")
        return (FailureOption.ALL_FAIL,)
    return tuple(options)


def _uris(tags: Mapping[str, str], name: str, flaws: list[str]) -> tuple[ReportUri, ...]:
    """The well-formed ones of a comma-separated list (RFC 9990 §3.5: ignore malformed ones)."""
    if name not in tags:
        return ()
    found: list[ReportUri] = []
    for text in tags[name].split(",")[:MAX_URIS]:
        uri = _uri(text.strip(" \t"))
        if uri is not None:
            found.append(uri)
        elif name not in flaws:
            flaws.append(name)
    return tuple(found)


def _uri(text: str) -> ReportUri | None:
    """One reporting URI; a comma or exclamation mark of its own would be percent-encoded."""
    text, mark, size = text.partition("!")
    uri = _URI.fullmatch(text)
    limit = _SIZE.fullmatch(size)
    if uri is None or (mark and limit is None):
        return None
    limit_bytes = None
    if limit is not None and len(limit[1]) <= _MAX_SIZE_DIGITS:
        limit_bytes = int(limit[1]) << _UNITS[limit[2].lower()]
    if uri[1].lower() != "mailto":
        return ReportUri(text, None, limit_bytes)
    # RFC 6068 §2: behind a question mark come header fields, which are none of our business.
    address = parse_address(unquote(uri[2].partition("?")[0]))
    return None if address is None else ReportUri(text, address, limit_bytes)
