"""Domain names as DMARC compares them, and the names that a tree walk visits.

Source: RFC 9989 §4.10 (the walk), §5.3.1 (A-labels), RFC 4343 (case).
"""

import re

from postern.mail.address import to_a_labels

MAX_NAME_BYTES = 253
"""RFC 1035 §2.3.4, in the spelling without a final dot."""

MAX_WALK = 8
"""A walk visits no more names than this (RFC 9989 §4.10)."""

# Wider than a mail domain: names with an underscore exist, sign mail and publish policies.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


def domain_key(text: str) -> str | None:
    """The one spelling in which domains are compared: lower-case A-labels without a final dot.

    None for what is no name that DNS could be asked for, such as an address literal.
    """
    name = text.removesuffix(".")
    if not name.isascii():
        return to_a_labels(name)
    name = name.lower()
    if len(name) > MAX_NAME_BYTES or _NAME.fullmatch(name) is None:
        return None
    return name


def walk_names(domain: str) -> tuple[str, ...]:
    """The names whose ``_dmarc`` a walk from ``domain`` asks for, longest first, at most eight.

    The start is always among them; from a long name the walk goes on with seven labels.
    """
    labels = domain.split(".")
    above = labels[1:] if len(labels) < MAX_WALK else labels[1 - MAX_WALK :]
    return (domain, *(".".join(above[left:]) for left in range(len(above))))


def is_below(name: str, ancestor: str) -> bool:
    """True when ``name`` lies under ``ancestor`` in the tree and is not the same."""
    return len(name) > len(ancestor) and name.endswith("." + ancestor)


def is_within(name: str, ancestor: str) -> bool:
    """True when ``name`` is ``ancestor`` or lies under it."""
    return name == ancestor or is_below(name, ancestor)


def one_below(domain: str, ancestor: str) -> str:
    """The name one label below ``ancestor`` on the way down to ``domain``, which lies under it."""
    between = domain[: len(domain) - len(ancestor) - 1]
    return f"{between.rpartition('.')[2]}.{ancestor}"


def share_a_label(one: str, other: str) -> bool:
    """True when the two could have an organisational domain in common: one top label."""
    return one.rpartition(".")[2] == other.rpartition(".")[2]
