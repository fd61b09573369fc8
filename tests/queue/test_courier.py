"""Which delivery gets a piece of work, and how it is told what belongs into Junk."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.queue.stage import DELIVERED, ScriptedRouter, smtp
from tests.spool.mail import message

from postern.delivery.job import Job, JobResult
from postern.delivery.maildir_store import Folder
from postern.directory.return_addresses import ReturnAddresses
from postern.mail.address import Address
from postern.mail.envelope import Sender
from postern.mail.route import LmtpRoute, MaildirRoute, Route, SmtpRoute, Way
from postern.queue.courier import JUNK_FIELD, RELEASED_FIELD, Courier
from postern.queue.group import Work
from postern.queue.ways import Ways
from postern.routing.chooser import Chooser, MailClass
from postern.runtime.clock import FakeClock
from postern.spool.message import Message

LMTP = LmtpRoute("local", "unix:/run/lmtp")
MAILDIR = MaildirRoute("local", "here.test/wang")
SMTP = smtp("gate.test")


class Scripted:
    """Every way out: notes what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[object, bytes, Folder | None]] = []
        self.senders: list[Address | None] = []

    async def deliver(
        self, where: Route | Sequence[Way], job: Job, folder: Folder | None = None, /
    ) -> JobResult:
        data = job.content.in_memory
        assert data is not None
        self.given.append((where, data, folder))
        self.senders.append(job.sender.address)
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


async def test_forwarded_mail_bears_its_alias_and_bounces_through_us() -> None:
    made = message(1)
    (delivery,) = made.deliveries
    delivery.forwarder, delivery.original = "here.test", "sales@here.test"
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    returns = ReturnAddresses(b"k" * 32, FakeClock())
    courier = Courier(way, way, way, Chooser(), returns)
    await courier.attempt(Work(made, [delivery], SMTP))
    assert way.given[0][1] == b"Delivered-To: sales@here.test\r\n" + data
    (sender,) = way.senders
    assert made.sender.address is not None
    assert sender == returns.rewrite(made.sender.address, "here.test")


async def test_a_class_of_mail_leaves_by_its_own_egress_and_a_pinned_one_comes_first() -> None:
    router = ScriptedRouter()
    ways = Ways(router, 100, {MailClass.FORWARDED: "fwd", MailClass.BOUNCE: "null"})

    async def egress_of(made: Message) -> str:
        works: list[Work] = []
        await ways.find(made, made.deliveries, works.append)
        (work,) = works
        assert isinstance(work.route, SmtpRoute)
        return work.route.egress.name

    to = "zoe@far.test"
    ours, forwarded, pinned = message(1, to), message(2, to), message(3, to)
    bounce = replace(message(4, to), sender=Sender(None))
    for made in (forwarded, pinned):
        made.deliveries[0].forwarder = "here.test"
    pinned.deliveries[0].via = "us1"
    told = [await egress_of(made) for made in (ours, forwarded, pinned, bounce)]
    assert told == ["direct", "fwd", "us1", "null"]
