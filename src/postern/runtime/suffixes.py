"""The organisation's part of a host name, by the list of public suffixes; one list a process."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


@cache
def public_suffixes() -> "PublicSuffixList":
    """The list, read once a process: a twentieth of a second, so not while somebody waits."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - commands start without it

    return PublicSuffixList()


def registrable(name: str) -> str | None:
    """``provider.example`` of ``out-3.mail.provider.example``; None of a public suffix."""
    return public_suffixes().privatesuffix(name)
