"""Which delivery gets a piece of work, and how it is told what belongs into Junk."""

from collections.abc import Sequence

import pytest
from tests.queue.stage import DELIVERED, smtp
from tests.spool.mail import message

from postern.delivery.job import Job, JobResult
from postern.delivery.maildir_store import Folder
from postern.mail.envelope import TlsWish
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.route import LmtpRoute, MaildirRoute, Route, Way
from postern.queue.courier import JUNK_FIELD, RELEASED_FIELD, Courier
from postern.queue.groups import Work
from postern.routing.chooser import Chooser, MessageFacts

LMTP = LmtpRoute("local", "unix:/run/lmtp")
MAILDIR = MaildirRoute("local", "here.test/wang")
SMTP = smtp("gate.test")


class Scripted:
    """Every way out: notes what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[object, bytes, Folder | None]] = []

    async def deliver(
        self, where: Route | Sequence[Way], job: Job, folder: Folder | None = None, /
    ) -> JobResult:
        data = job.content.in_memory
        assert data is not None
        self.given.append((where, data, folder))
        return JobResult((DELIVERED,) * len(job.recipients), ())


@pytest.mark.parametrize("is_junk", [False, True], ids=["inbox", "junk"])
async def test_junk_goes_to_its_folder_or_is_marked(*, is_junk: bool) -> None:
    made = message(1)
    made.deliveries[0].is_junk = is_junk
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    courier = Courier(way, way, way, Chooser())
    for route in (SMTP, LMTP, MAILDIR):
        await courier.attempt(Work(made, made.deliveries, route))
    marked = JUNK_FIELD + data if is_junk else data
    folder = Folder.JUNK if is_junk else Folder.INBOX
    assert way.given == [(SMTP.ways, marked, None), (LMTP, marked, None), (MAILDIR, data, folder)]


async def test_released_mail_says_so_on_every_way() -> None:
    made = message(1)
    made.deliveries[0].released = "Thu, 26 Nov 2026 21:00:00 +0000; by=cli:wang; was=spf.fail"
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    courier = Courier(way, way, way, Chooser())
    for route in (SMTP, LMTP, MAILDIR):
        await courier.attempt(Work(made, made.deliveries, route))
    marked = RELEASED_FIELD % made.deliveries[0].released.encode() + data
    assert marked.startswith(
        b"X-Postern-Released: Thu, 26 Nov 2026 21:00:00 +0000; by=cli:wang; was"
    )
    assert [given for _, given, _ in way.given] == [marked] * 3


class NothingFits:
    """No way may carry anything."""

    def fit(self, way: Way, facts: MessageFacts, domain: str = "") -> Way | None:
        return None


@pytest.mark.parametrize(
    ("wish", "kind", "status"),
    [(TlsWish.ENCRYPT, Deferred, "4.7.10"), (TlsWish.REQUIRETLS, Refused, "5.7.30")],
    ids=["encrypt", "requiretls"],
)
async def test_what_no_way_may_carry_is_not_tried(
    wish: TlsWish, kind: type[Deferred | Refused], status: str
) -> None:
    made = message(1, "wang@there.test", "chen@there.test")
    made.tls_wish = wish
    way = Scripted()
    courier = Courier(way, way, way, Chooser(NothingFits()))
    result = await courier.attempt(Work(made, made.deliveries, SMTP))
    assert way.given == []
    assert result.attempts == ()
    assert len(result.outcomes) == 2
    for outcome in result.outcomes:
        assert isinstance(outcome, kind)
        assert (outcome.cause, outcome.reply.enhanced) == (Cause.UNENCRYPTED, status)
