"""Who may sign for a domain: itself, and domains above it, whose signature DMARC takes as its own.

Source: RFC 9989 §5.1 (relaxed alignment).
"""

MAX_PARENTS = 4
"""A domain without keys of its own is signed for by one above it, at most so many levels up."""


def upwards(domain: str) -> list[str]:
    """The domain and those above it that may sign for it, top-level domains left out."""
    labels = domain.split(".")
    most = min(len(labels) - 1, MAX_PARENTS)
    return [".".join(labels[start:]) for start in range(max(most, 1))]
