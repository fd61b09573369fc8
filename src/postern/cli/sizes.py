"""Sizes as people write them, and how much of them is used."""

import re
from enum import Enum

from postern.cli.output import ExitCode, fail
from postern.directory.model import KEEP, Keep

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MAX_QUOTA_BYTES = 1 << 62
_SIZE = re.compile(r"([0-9]{1,19})([KMGT]?)(?:I?B)?")


class Quota(Enum):
    """What ``--quota none`` means, apart from no ``--quota`` at all."""

    UNLIMITED = "none"


def read_size(text: str) -> int | Quota:
    """``5G`` in bytes; K, M, G and T are powers of 1,024. Ends the command for anything else."""
    word = text.strip().upper()
    if word == "NONE":
        return Quota.UNLIMITED
    found = _SIZE.fullmatch(word)
    size = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < size <= MAX_QUOTA_BYTES:
        fail(ExitCode.USAGE, f"{text!r} is not a size, such as 500M, 5G or none")
    return size


def quota_patch(text: str | None) -> int | Keep | None:
    """What ``--quota`` changes: nothing where it was not given."""
    if text is None:
        return KEEP
    size = read_size(text)
    return None if size is Quota.UNLIMITED else size


def size_text(size_bytes: int | None) -> str:
    """A limit as ``read_size`` reads it back."""
    if size_bytes is None:
        return "none"
    for unit in "TGMK":
        if size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)


def used_text(used_bytes: int | None) -> str:
    """``3.2G``: near enough for people; ``-`` where it is not known."""
    if used_bytes is None:
        return "-"
    for unit in "TGMK":
        if used_bytes >= UNITS[unit]:
            return f"{used_bytes / UNITS[unit]:.1f}{unit}"
    return str(used_bytes)
