"""Words for the sentences people read: the nearest name to a wrong one, and counted things."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from postern.mail.address import Address

MAX_CANDIDATES = 5_000


def nearest(name: str, candidates: Iterable[str], domain: str = "") -> str:
    """``; did you mean wang@harbour.example?``, or nothing when no candidate is near.

    Args:
        name: what was typed; a domain, or a local part of ``domain``.
        candidates: names of the same kind; those past ``MAX_CANDIDATES`` are not looked at.
        domain: put behind the local part that was found; also keeps it out of the comparison.
    """
    found = get_close_matches(name, list(islice(candidates, MAX_CANDIDATES)), n=1, cutoff=0.7)
    if not found:
        return ""
    return f"; did you mean {Address(found[0], domain) if domain else found[0]}?"


def counted(number: int, noun: str) -> str:
    """``1 alias``, ``2 aliases``, ``3 mailboxes``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


def contents(mailboxes: int, aliases: int) -> str:
    """``2 mailboxes and 1 alias``: what a domain holds."""
    return f"{counted(mailboxes, 'mailbox')} and {counted(aliases, 'alias')}"
