"""The nearest name that is there, for a name that is not."""

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
