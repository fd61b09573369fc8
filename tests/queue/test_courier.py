"""Which delivery gets a piece of work, and how it is told what belongs into Junk."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.queue.stage import DELIVERED, ScriptedRouter, smtp
from tests.spool.mail import message

from postern.delivery.job import Job, JobResult
from postern.delivery.maildir_store import Folder
from postern.directory.return_addresses import ReturnAddresses
from postern.journal.record import AttemptRecord
from postern.mail.address import Address
from postern.mail.envelope import Sender, TlsWish
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.route import LmtpRoute, MaildirRoute, Route, SmtpRoute, Way
from postern.queue.courier import JUNK_FIELD, RELEASED_FIELD, Courier
from postern.queue.group import Work
from postern.queue.ways import Ways
from postern.routing.chooser import MailClass, MessageFacts
from postern.runtime.clock import FakeClock
from postern.spool.message import Message, Origin

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


class AllWays:
    """Every target in its order; notes whose attempts have ended."""

    def __init__(self) -> None:
        self.ended_for: list[tuple[str, int]] = []
        self.is_in_doubt = False

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> Sequence[Way]:
        del facts
        assert not self.is_in_doubt
        return route.ways

    def is_unsure(self, route: SmtpRoute, facts: MessageFacts) -> bool:
        del route, facts
        return self.is_in_doubt

    async def make_sure(self, route: SmtpRoute, facts: MessageFacts) -> None:
        del route, facts
        self.is_in_doubt = False

    def ended(self, route: SmtpRoute, attempts: Sequence[AttemptRecord]) -> None:
        self.ended_for.append((route.group, len(attempts)))


@pytest.mark.parametrize("is_junk", [False, True], ids=["inbox", "junk"])
async def test_junk_goes_to_its_folder_or_is_marked(*, is_junk: bool) -> None:
    made = message(1)
    made.deliveries[0].is_junk = is_junk
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    courier = Courier(way, way, way, AllWays())
    for route in (SMTP, LMTP, MAILDIR):
        await courier.attempt(Work(made, made.deliveries, route))
    marked = JUNK_FIELD + data if is_junk else data
    folder = Folder.JUNK if is_junk else Folder.INBOX
    assert way.given == [(SMTP.ways, marked, None), (LMTP, marked, None), (MAILDIR, data, folder)]


async def test_ways_are_chosen_when_what_decides_about_them_is_known() -> None:
    made = message(1)
    way, chooser = Scripted(), AllWays()
    chooser.is_in_doubt = True
    await Courier(way, way, way, chooser).attempt(Work(made, made.deliveries, SMTP))
    assert [ways for ways, _, _ in way.given] == [SMTP.ways]


async def test_released_mail_says_so_on_every_way() -> None:
    made = replace(message(1), origin=Origin.OUTSIDE)
    made.deliveries[0].released = "Thu, 26 Nov 2026 21:00:00 +0000; by=cli:wang; was=spf.fail"
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    courier = Courier(way, way, way, AllWays())
    for route in (SMTP, LMTP, MAILDIR):
        await courier.attempt(Work(made, made.deliveries, route))
    marked = RELEASED_FIELD % made.deliveries[0].released.encode() + data
    assert marked.startswith(
        b"X-Postern-Released: Thu, 26 Nov 2026 21:00:00 +0000; by=cli:wang; was"
    )
    assert [given for _, given, _ in way.given] == [marked] * 3


class NothingFits(AllWays):
    """No way may carry anything."""

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> tuple[Way, ...]:
        return ()


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
    courier = Courier(way, way, way, NothingFits())
    result = await courier.attempt(Work(made, made.deliveries, SMTP))
    assert way.given == []
    assert result.attempts == ()
    assert len(result.outcomes) == 2
    for outcome in result.outcomes:
        assert isinstance(outcome, kind)
        assert (outcome.cause, outcome.reply.enhanced) == (Cause.UNENCRYPTED, status)


@pytest.mark.parametrize(
    ("origin", "forwarder", "is_told"),
    [(Origin.OURS, "", False), (Origin.OUTSIDE, "here.test", False), (Origin.OUTSIDE, "", True)],
    ids=["ours", "forwarded", "gateway"],
)
async def test_strangers_are_not_told_who_released_what_they_get(
    origin: Origin, forwarder: str, *, is_told: bool
) -> None:
    made = replace(message(1), origin=origin)
    (delivery,) = made.deliveries
    delivery.released, delivery.forwarder = "today; by=cli:wang; was=virus.found", forwarder
    way = Scripted()
    courier = Courier(way, way, way, AllWays())
    for route in (SMTP, MAILDIR):
        await courier.attempt(Work(made, [delivery], route))
    assert [b"by=cli:wang" in data for _, data, _ in way.given] == [is_told, True]


async def test_alias_with_utf8_in_its_name_is_known_again_when_its_mail_comes_round() -> None:
    made = message(1)
    made = replace(made, sender=replace(made.sender, smtputf8=True))
    (delivery,) = made.deliveries
    delivery.forwarder, delivery.original = "here.test", "grüße@here.test"
    way = Scripted()
    await Courier(way, way, way, AllWays()).attempt(Work(made, [delivery], SMTP))
    assert way.given[0][1].startswith("Delivered-To: grüße@here.test\r\n".encode())


async def test_forwarded_mail_bears_its_alias_and_bounces_through_us() -> None:
    made = message(1)
    (delivery,) = made.deliveries
    delivery.forwarder, delivery.original = "here.test", "sales@here.test"
    data = made.content.in_memory
    assert data is not None
    way = Scripted()
    returns = ReturnAddresses(b"k" * 32, FakeClock())
    courier = Courier(way, way, way, AllWays(), returns)
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


async def test_whoever_chose_the_ways_hears_how_the_attempt_went() -> None:
    way, chooser = Scripted(), AllWays()
    courier = Courier(way, way, way, chooser)
    made = message(1, "zoe@gate.test")
    await courier.attempt(Work(made, made.deliveries, SMTP))
    await courier.attempt(Work(made, made.deliveries, MAILDIR))
    assert chooser.ended_for == [(SMTP.group, 0)]
