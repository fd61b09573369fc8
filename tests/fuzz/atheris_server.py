"""Coverage-guided fuzzing of the server machine: ``python -m tests.fuzz.atheris_server 600``.

Invariant: whatever bytes arrive, whole or byte by byte, the machine raises nothing, gives the same
events and output, and holds bounded memory. The first byte of an input picks the settings.

The argument is how many seconds to run (20 when absent); further ones go to libFuzzer, such as a
folder of inputs.
"""

import sys

import atheris  # type: ignore[import-untyped]  # it ships no types

with atheris.instrument_imports(include=["postern.mail"]):
    from postern.mail.reply import reply
    from postern.mail.smtp.events import BodyData, Event, StartTls
    from postern.mail.smtp.rehearsal import Answers, Rehearsal
    from postern.mail.smtp.settings import MAX_AUTH_BYTES, ServerSettings

STRICT = ServerSettings(
    "mx.postern.test", max_message_bytes=60, max_recipients=2, max_errors=12, offer_auth=True
)
KIND = ServerSettings(
    "mx.postern.test", max_message_bytes=60, normalise_bare_newlines=True, offer_auth=True
)
OPENING = b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"


def rehearse(pieces: list[bytes], choice: int) -> tuple[list[Event], bytes, bool]:
    """All that a session and a client see of it."""
    settings = KIND if choice & 1 else STRICT
    no_tls: Answers = {StartTls: reply(454, "4.7.0", "Not now")}
    rehearsal = Rehearsal(settings, no_tls, tls_active=bool(choice & 2))
    if choice & 4:
        rehearsal.say(OPENING)
    if choice & 8:
        rehearsal.say("DATA")
    for piece in pieces:
        rehearsal.say(piece)
        assert rehearsal.machine.backlog_bytes <= MAX_AUTH_BYTES
    events = rehearsal.events
    told = events[:-1] if events and isinstance(events[-1], BodyData) else events
    return told, rehearsal.wire, rehearsal.machine.closing


def one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if data:
        choice, stream = data[0], data[1:]
        single = [stream[at : at + 1] for at in range(len(stream))]
        assert rehearse([stream], choice) == rehearse(single, choice)


if __name__ == "__main__":
    seconds, rest = ([*sys.argv[1:], "20"][0], sys.argv[2:])
    words = ["-max_len=4096", f"-max_total_time={seconds}", *rest]
    atheris.Setup([sys.argv[0], *words], one_input)
    atheris.Fuzz()
