"""Large blocks of memory, tried in a process of its own: the setting holds for a whole process."""

import subprocess
import sys

import pytest

PROBE = """
import ctypes
import sys
from postern.runtime.allocator import LARGE_BLOCK_BYTES, keep_large_blocks_apart

libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit(77)

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

if sys.argv[1] == "apart":
    assert keep_large_blocks_apart()
libc.free(libc.malloc(8 * LARGE_BLOCK_BYTES))
before = libc.mallinfo2().hblks
libc.malloc(LARGE_BLOCK_BYTES)
print(libc.mallinfo2().hblks - before)
"""


def mapped_blocks(way: str) -> int:
    """How many blocks of their own a large request gets, after a larger one was freed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, way], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this C library is not glibc 2.33 or later")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_large_block_is_mapped_apart_even_after_another_was_freed() -> None:
    assert mapped_blocks("apart") == 1


def test_without_it_the_c_library_would_put_it_among_the_others() -> None:
    assert mapped_blocks("default") == 0
