"""How the C library hands out large blocks of memory."""

import ctypes

_M_MMAP_THRESHOLD = -3

LARGE_BLOCK_BYTES = 256 * 1024
"""uvloop takes a block of this size for every TLS connection, and hardly touches it."""


def keep_large_blocks_apart() -> bool:
    """Have every block of ``LARGE_BLOCK_BYTES`` or more mapped from the kernel; False: can't.

    By default glibc stops doing so once such a block has been freed. The buffers of later TLS
    connections then lie where the handshakes before them left their dirt, and keep those pages: an
    idle TLS connection cost 49 kB so, and costs 27 kB with its buffer apart. Other C libraries have
    no such habit and no ``mallopt``.
    """
    libc = ctypes.CDLL(None)
    return hasattr(libc, "mallopt") and libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) == 1
