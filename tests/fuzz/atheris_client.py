"""The invariant of ``test_client_machine`` under coverage-guided fuzzing.

Run: ``python -m tests.fuzz.atheris_client 600``: seconds (20 when absent); further arguments go to
libFuzzer.
"""

import sys

import atheris  # type: ignore[import-untyped]  # it ships no types

with atheris.instrument_imports(include=["postern.mail"]):
    from tests.fuzz.client_machine import run

STEPS = (0, 1, 5)
OPENINGS = (
    b"",
    b"220 hi\r\n250 x\r\n",
    b"220 hi\r\n250-x\r\n250-SIZE\r\n250 PIPELINING\r\n",
    b"220 hi\r\n250-x\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n",
)


def test_one_input(data: bytes) -> None:
    """Two octets choose the session and its opening, the rest is what the peer says."""
    choice = int.from_bytes(data[:2])
    opening, talk = OPENINGS[choice >> 11 & 3], data[2:]
    run(choice, opening, talk, STEPS[len(talk) % 3])
    run(choice, opening + talk, b"", 0)


if __name__ == "__main__":
    name, seconds, *rest = [*sys.argv, "20"] if len(sys.argv) == 1 else sys.argv
    atheris.Setup([name, f"-max_total_time={seconds}", *rest], test_one_input)
    atheris.Fuzz()
