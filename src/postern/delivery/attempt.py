"""An attempt on record: which way, how protected, how long, what was said, for whom."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from postern.delivery.job import Job
from postern.journal.record import AttemptRecord
from postern.mail.content import Content, PrefixedContent
from postern.mail.hops import hop_field
from postern.mail.outcome import Deferred, Delivered, Outcome, Refused
from postern.mail.route import Target, Way
from postern.mail.smtp.client_mail import Mail, Octets, OctetScan

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class WayName:
    """The way an attempt went, as its record names it; ``unencrypted``: why in clear, in words."""

    egress: str
    mx: str
    address: str
    reason: str = ""
    unencrypted: str = ""


def address_of(target: Target) -> str:
    """``192.0.2.1``, or ``192.0.2.1:2525`` and ``[2001:db8::1]:2525`` on other ports than 25."""
    if target.port == SMTP_PORT:
        return target.ip
    return f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"


def name_of(way: Way) -> WayName:
    """How records name a way."""
    target = way.target
    return WayName(way.egress.name, target.host, address_of(target), way.reason, target.tls.reason)


def content_through(way: Way, job: Job) -> Content:
    """The message as it leaves this way: marked where that is a relay (``postern.mail.hops``)."""
    key = way.egress.hop_key
    if not key or not job.trace:
        return job.content
    return PrefixedContent(hop_field(key, way.egress.name, job.trace), job.content)


def mail_of(job: Job, content: Content, *, only_asks: bool = False) -> Mail:
    """The job as the client machine takes it; ``only_asks``: just its envelope, see ``Mail``."""
    return Mail(
        job.sender, job.recipients, content.size_bytes, content.in_memory, only_asks=only_asks
    )


def records(
    way: WayName, at: float, seconds: float, tls: str, outcomes: Sequence[Outcome]
) -> tuple[AttemptRecord, ...]:
    """The records of one target tried: one, or one per answer where answers differ."""
    first = outcomes[0]
    if all(outcome is first for outcome in outcomes):
        return (_record(way, at, seconds, tls, first, tuple(range(len(outcomes)))),)
    fared: dict[tuple[type[Outcome], str], list[int]] = {}
    for number, outcome in enumerate(outcomes):
        fared.setdefault((type(outcome), str(outcome.reply)), []).append(number)
    return tuple(
        _record(way, at, seconds, tls, outcomes[numbers[0]], tuple(numbers))
        for numbers in fared.values()
    )


def _record(
    way: WayName, at: float, seconds: float, tls: str, outcome: Outcome, numbers: tuple[int, ...]
) -> AttemptRecord:
    word = _WORDS[type(outcome)]
    cause = "" if isinstance(outcome, Delivered) else outcome.cause.value
    return AttemptRecord(
        at, way.egress, way.mx, way.address, tls, seconds, str(outcome.reply), word, numbers,
        cause, way.reason, way.unencrypted,
    )  # fmt: skip


_WORDS: dict[type[Outcome], str] = {
    Delivered: "delivered",
    Deferred: "deferred",
    Refused: "refused",
}


async def octets_of(content: Content) -> Octets:
    """Read streamed content once to know where octets above 127 are."""
    scan = OctetScan()
    with suppress(OSError):  # told when it is sent
        async for chunk in content.chunks():
            scan.feed(chunk)
    return scan.found
