"""MTA-STS: the record that says there is a policy, the policy, and the mail hosts that it names.

Strict: what is not as the grammar has it is no policy, and says what is wrong. Fields that nobody
knows yet are passed over, and of a field that comes twice the first counts (RFC 8461 §3.1, §3.2).

Source: RFC 8461 §3.1 (record), §3.2 (policy), §4.1 (which hosts it names).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

MAX_POLICY_BYTES = 65_536
MAX_AGE_S = 31_557_600
"""RFC 8461 §3.2: a year; more is taken as that."""
MAX_PATTERNS = 1_000
MAX_RECORD_CHARS = 1_024
"""A record that is longer says nothing: a good one has some 30."""
MAX_PATTERN_CHARS = 255

_BLANK = " \t"
_VALUE = re.compile(r"[!-:<>-~]+")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")


class StsMode(Enum):
    """What a policy asks for (RFC 8461 §5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy, good for ``max_age_s`` from when it was fetched.

    ``patterns``: names of mail hosts, lower-case; ``*.`` in front stands for one label.
    """

    mode: StsMode
    max_age_s: int
    patterns: tuple[str, ...]

    def names(self, host: str) -> bool:
        """Whether ``host`` (lower-case, no final dot) is one of its mail hosts (RFC 8461 §4.1)."""
        parent = "*." + host.partition(".")[2]
        return any(pattern in {host, parent} for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class BadPolicy:
    """A text that is no policy; ``text`` says why, to follow a domain's name."""

    text: str


def policy_id(records: Iterable[str]) -> str | None:
    """The id of the policy that these TXT records of ``_mta-sts`` tell of; None: of none.

    Others than ours are passed over; two of ours are as good as none (RFC 8461 §3.1).
    """
    ours = [record for record in records if record.startswith("v=STSv1")]
    if len(ours) != 1 or len(ours[0]) > MAX_RECORD_CHARS:
        return None
    # Not by one pattern: blanks before and behind a semicolon would be tried in all ways there are.
    fields = [field.strip(_BLANK) for field in ours[0].split(";")]
    if not fields[-1]:
        fields.pop()
    if fields[0] != "v=STSv1":
        return None
    values: dict[str, str] = {}
    for field in fields[1:]:
        name, _, value = field.partition("=")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        values.setdefault(name, value)
    found = values.get("id", "")
    return found if _ID.fullmatch(found) else None


def parse_policy(body: bytes) -> StsPolicy | BadPolicy:
    """The policy in ``body``, as it was fetched."""
    if len(body) > MAX_POLICY_BYTES:
        return BadPolicy(f"its policy is longer than {MAX_POLICY_BYTES} octets")
    try:
        lines = body.decode("utf-8").replace("\r\n", "\n").rstrip(" \t\n").split("\n")
    except UnicodeDecodeError:
        return BadPolicy("its policy is not UTF-8")
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            return BadPolicy(f"line {number} of its policy is no field")
        value = value.strip(" \t")
        if name == "mx":
            patterns.append(value.lower())
        else:
            fields.setdefault(name, value)
    return _weigh(fields, patterns)


def _weigh(fields: dict[str, str], patterns: list[str]) -> StsPolicy | BadPolicy:
    """Whether the fields of a policy make one."""
    if fields.get("version") != "STSv1":
        return BadPolicy("its policy does not say version: STSv1")
    try:
        mode = StsMode(fields.get("mode", ""))
    except ValueError:
        return BadPolicy("its policy has no mode that we know")
    max_age = fields.get("max_age", "")
    if not (max_age.isascii() and max_age.isdigit() and len(max_age) <= 10):
        return BadPolicy("its policy has no max_age in seconds")
    if len(patterns) > MAX_PATTERNS:
        return BadPolicy(f"its policy names more than {MAX_PATTERNS} mail hosts")
    if not all(map(_is_pattern, patterns)):
        return BadPolicy("its policy has an mx that is no host name")
    if mode is not StsMode.NONE and not patterns:
        return BadPolicy("its policy names no mail host")
    return StsPolicy(mode, min(int(max_age), MAX_AGE_S), tuple(dict.fromkeys(patterns)))


def _is_pattern(text: str) -> bool:
    return len(text) <= MAX_PATTERN_CHARS and _PATTERN.fullmatch(text) is not None
