"""Coverage-guided fuzzing of the structure reader: ``python -m tests.fuzz.atheris_mime 600``.

Invariant: whatever bytes arrive, whole or byte by byte, reading a message's parts and archives
raises nothing and finds the same. The argument is how many seconds to run (20 when absent).
"""

import sys
from dataclasses import replace

import atheris  # type: ignore[import-untyped]  # it ships no types

with atheris.instrument_imports(include=["postern.mail"]):
    from postern.mail.message.header import HeaderScan
    from postern.mail.mime.part import Fault, Limits, Structure
    from postern.mail.mime.structure import StructureReader

LIMITS = Limits(
    depth=5, parts=20, header_bytes=500, archive_bytes=5000, inflated_bytes=50_000, members=50
)


def read(message: bytes, step: int) -> Structure:
    """All that is told of it."""
    scan = HeaderScan(message)
    reader = StructureReader(scan, LIMITS, frozenset({"exe", "js"}))
    body = message[scan.body_start :]
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    return reader.finish()


def one_input(data: bytes) -> None:
    """What libFuzzer calls; half of the inputs are the body of a message with a boundary."""
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" if data[:1] < b"\x80" else b""
    message = head + data[1:]
    whole, single = read(message, len(message) + 1), read(message, 1)
    # How far a part is decoded to see that it is no archive depends on the pieces.
    shaky = {Fault.BROKEN_BASE64}
    assert replace(whole, faults=whole.faults - shaky) == replace(
        single, faults=single.faults - shaky
    )


if __name__ == "__main__":
    seconds, rest = ([*sys.argv[1:], "20"][0], sys.argv[2:])
    words = ["-max_len=4096", f"-max_total_time={seconds}", *rest]
    atheris.Setup([sys.argv[0], *words], one_input)
    atheris.Fuzz()
