"""What the sender is owed: from outcomes to messages ready for the spool."""

from dataclasses import dataclass, field, replace

import pytest
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN
from tests.spool.mail import message

from postern.mail.address import Address
from postern.mail.envelope import Notify, Ret, TlsWish
from postern.mail.outcome import Cause, Delivered, Outcome, Refused
from postern.mail.reply import reply
from postern.notices.notice import Meant
from postern.notices.settings import NoticeSettings
from postern.queue import tidings as module
from postern.queue.settle import Settled, expired
from postern.queue.tidings import NoticeTidings, expansions
from postern.runtime.clock import FakeClock
from postern.spool.holdings import Holdings
from postern.spool.message import DeliveryState, Message, Origin
from postern.spool.settings import HoldSettings

HOUR_S = 3600.0


@dataclass
class Numbers:
    last: int = 100

    def next(self) -> tuple[int, str]:
        self.last += 1
        return self.last, f"PT-{self.last:04d}-0000"


@dataclass
class Homes:
    ours: set[str] = field(default_factory=set)

    def home_of(self, address: Address) -> str | None:
        return "home" if address.domain in self.ours else None

    def owner_of(self, address: Address) -> Address:
        return Address(address.local.partition("+")[0], address.domain)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def homes() -> Homes:
    return Homes()


@pytest.fixture
def holdings() -> Holdings:
    return Holdings(HoldSettings(most_messages=2))


@pytest.fixture
def tidings(clock: FakeClock, homes: Homes, holdings: Holdings) -> NoticeTidings:
    settings = NoticeSettings(hostname="mx.postern.test", support="help@postern.test")
    return NoticeTidings(settings, 432_000.0, Numbers(), clock, homes, holdings)


def ended(made: Message, outcome: Outcome, end: str = "bounced") -> Settled:
    settled = Settled()
    for delivery in made.deliveries:
        delivery.tries = 3
        if isinstance(outcome, Delivered):
            delivery.state, delivery.end = DeliveryState.DONE, "delivered"
            settled.delivered.append((delivery, outcome))
        elif outcome is UNKNOWN or not hasattr(outcome, "retry_after_s"):
            delivery.state, delivery.end = DeliveryState.DONE, end
            settled.failed.append((delivery, outcome))
        else:
            delivery.state = DeliveryState.WAITING
            delivery.due = made.accepted_at + 20_000
            settled.waiting.append((delivery, outcome))  # type: ignore[arg-type]  # it is Deferred
    return settled


async def test_a_failure_comes_back_from_the_null_sender(tidings: NoticeTidings) -> None:
    made = message(1, "wang@there.test")
    (notice,) = await tidings.compose(made, ended(made, UNKNOWN))
    assert notice.sender.address is None
    assert str(notice.deliveries[0].recipient.address) == "li@client.test"
    assert notice.deliveries[0].state is DeliveryState.FRESH
    assert notice.conversation.related == [1]
    assert b"no such user" in (notice.content.in_memory or b"")


@pytest.mark.parametrize(
    ("wish", "requires", "noticed"),
    [
        (TlsWish.REQUIRETLS, True, TlsWish.REQUIRETLS),
        (TlsWish.ENCRYPT, False, TlsWish.ENCRYPT),
        (TlsWish.OPTIONAL, False, TlsWish.NONE),
    ],
    ids=["requiretls", "encrypt", "optional"],
)
async def test_a_notice_is_protected_as_what_it_is_about_was(
    tidings: NoticeTidings, wish: TlsWish, noticed: TlsWish, *, requires: bool
) -> None:
    made = message(1, "wang@there.test")
    made.tls_wish, made.sender = wish, replace(made.sender, requiretls=requires, ret=Ret.FULL)
    (notice,) = await tidings.compose(made, ended(made, UNKNOWN))
    assert notice.tls_wish is noticed
    assert notice.sender.requiretls is requires
    returned = b"text/rfc822-headers" if requires else b"message/rfc822"
    assert returned in (notice.content.in_memory or b"")


async def test_nobody_is_told_of_a_notice_that_fails(tidings: NoticeTidings) -> None:
    made = message(1, "li@client.test", sender="")
    assert await tidings.compose(made, ended(made, UNKNOWN)) == []


async def test_an_expired_notice_quotes_the_last_try(tidings: NoticeTidings) -> None:
    made = message(1, "wang@there.test")
    settled = ended(made, expired(GREYLISTED))
    settled.last[0] = GREYLISTED
    (notice,) = await tidings.compose(made, settled)
    assert b"come back later" in (notice.content.in_memory or b"")


@pytest.mark.parametrize(
    ("age_s", "is_blocked", "is_told"),
    [
        (0.5 * HOUR_S, True, False),
        (1.0 * HOUR_S, True, True),
        (1.0 * HOUR_S, False, False),
        (3.9 * HOUR_S, False, False),
        (4.0 * HOUR_S, False, True),
    ],
)
async def test_delay_is_told_after_four_hours_or_one_of_a_blocked_group(
    tidings: NoticeTidings, clock: FakeClock, age_s: float, *, is_blocked: bool, is_told: bool
) -> None:
    made = message(1, "wang@there.test", at=clock.now())
    clock.advance(age_s)
    settled = ended(made, SILENT)
    told = await tidings.compose(made, settled, is_blocked=is_blocked)
    assert len(told) == is_told
    assert made.deliveries[0].delay_told is is_told
    assert await tidings.compose(made, settled, is_blocked=is_blocked) == []


async def test_strangers_are_not_told_of_delays(tidings: NoticeTidings, clock: FakeClock) -> None:
    made = message(1, "wang@there.test", at=clock.now(), origin=Origin.OUTSIDE)
    clock.advance(5 * HOUR_S)
    assert await tidings.compose(made, ended(made, SILENT)) == []


def test_a_try_is_due_at_the_moment_of_the_notice(tidings: NoticeTidings) -> None:
    made = message(1, at=1000.0)
    assert tidings.moment_of_delay(made) == 1000.0 + 4 * HOUR_S
    assert tidings.moment_of_delay(made, is_blocked=True) == 1000.0 + HOUR_S


async def test_nothing_is_read_for_mail_that_simply_arrived_or_waits(
    tidings: NoticeTidings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(about: Message) -> None:
        raise AssertionError("the message was read for nothing")

    monkeypatch.setattr(module, "_original", read)
    arrived, waits = message(1), message(2)
    settled = ended(arrived, DELIVERED)
    settled.waiting = ended(waits, GREYLISTED).waiting
    assert await tidings.compose(arrived, settled) == []


async def test_success_is_told_only_where_it_was_asked_for(
    tidings: NoticeTidings, homes: Homes
) -> None:
    homes.ours = {"here.test"}
    made = message(1, "wang@here.test", notify=Notify.SUCCESS)
    (notice,) = await tidings.compose(made, ended(made, DELIVERED))
    assert b"Action: delivered" in (notice.content.in_memory or b"")


async def test_mail_from_strangers_that_fails_at_a_mailbox_is_held_and_letters_are_bounded(
    tidings: NoticeTidings, homes: Homes
) -> None:
    homes.ours = {"here.test"}
    letters = 0
    for number in range(200):
        made = message(number, "wang@here.test", origin=Origin.OUTSIDE)
        notices = await tidings.compose(made, ended(made, UNKNOWN))
        assert made.deliveries[0].state is DeliveryState.HELD
        assert all(str(n.deliveries[0].recipient.address) == "wang@here.test" for n in notices)
        letters += len(notices)
    assert 0 < letters < 50


@pytest.mark.parametrize(
    ("cause", "owner", "expected"),
    [
        ("no-mailbox", "", "wang@here.test"),  # removed since it was accepted
        ("reply", "wang@here.test", "wang@here.test"),  # released, and refused by who keeps it
    ],
    ids=["removed", "released"],
)
async def test_what_was_for_a_mailbox_that_is_gone_is_held_for_whoever_answers_for_it(
    tidings: NoticeTidings, clock: FakeClock, cause: str, owner: str, expected: str
) -> None:
    made = message(1, "wang+shop@here.test", origin=Origin.OUTSIDE)
    (delivery,) = made.deliveries
    delivery.cause, delivery.owner, delivery.is_suspect = cause, owner, True
    await tidings.compose(made, ended(made, UNKNOWN))
    assert delivery.is_quarantined
    assert (delivery.held_for, delivery.owner) == (f"delivery.{cause}", expected)
    assert delivery.due == clock.now() + 30 * 86_400.0


async def test_what_fails_at_a_mailbox_is_held_for_its_owner_and_has_an_end(
    tidings: NoticeTidings, homes: Homes, clock: FakeClock, holdings: Holdings
) -> None:
    homes.ours = {"here.test"}
    made = message(1, "wang+shop@here.test", "li@there.test", origin=Origin.OUTSIDE)
    made.deliveries[1].is_suspect = True
    for delivery in made.deliveries:
        delivery.cause = "reply"
    await tidings.compose(made, ended(made, UNKNOWN))
    here, there = made.deliveries
    assert here.is_quarantined
    assert (here.held_for, here.owner, here.end) == ("delivery.reply", "wang@here.test", "")
    assert here.due == clock.now() + 30 * 86_400.0
    assert (there.state, there.held_for) == (DeliveryState.HELD, "")  # not ours to tell
    await tidings.compose(made, ended(made, UNKNOWN))
    assert not holdings.has_room("wang@here.test", 1)


def alias(notify: Notify | None) -> Message:
    made = message(1, "a@there.test", "b@there.test", "c@there.test", notify=notify)
    for delivery in made.deliveries[:2]:
        delivery.original, delivery.index = "team@here.test", 0
    return made


async def test_an_alias_with_several_targets_ends_success_reports(tidings: NoticeTidings) -> None:
    made = alias(Notify.SUCCESS | Notify.FAILURE)
    (notice,) = await tidings.expand(made)
    text = notice.content.in_memory or b""
    assert b"Action: expanded" in text
    assert b"team@here.test" in text
    assert b"a@there.test" not in text  # who is behind an alias is nobody's business
    assert [d.recipient.notify for d in made.deliveries] == [
        Notify.FAILURE, Notify.FAILURE, Notify.SUCCESS | Notify.FAILURE
    ]  # fmt: skip
    assert expansions(made) == {}


@pytest.mark.parametrize("notify", [None, Notify.FAILURE, Notify.NEVER])
def test_aliases_are_left_alone_where_no_success_was_asked_for(notify: Notify | None) -> None:
    assert expansions(alias(notify)) == {}


async def test_an_expansion_that_fails_leaves_the_requests_as_they_were(
    tidings: NoticeTidings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(about: Message) -> None:
        raise OSError("the disk")

    monkeypatch.setattr(module, "_original", broken)
    made = alias(Notify.SUCCESS)
    with pytest.raises(OSError, match="the disk"):
        await tidings.expand(made)
    assert all(d.recipient.notify is Notify.SUCCESS for d in made.deliveries)
    assert replace(made.deliveries[0]).busy is False


@dataclass
class Near:
    asked: list[str] = field(default_factory=list)

    async def instead_of(self, message: Message, address: Address) -> Meant | None:
        self.asked.append(str(address))
        return Meant(Address("wang.l", "there.test"), message.accepted_at)


async def test_who_may_have_been_meant_is_told_where_an_address_is_unknown(
    clock: FakeClock, homes: Homes, holdings: Holdings
) -> None:
    near = Near()
    settings = NoticeSettings(hostname="mx.postern.test", support="help@postern.test")
    tidings = NoticeTidings(settings, 432_000.0, Numbers(), clock, homes, holdings, near)
    made = message(1, "wang@there.test")
    (notice,) = await tidings.compose(made, ended(made, UNKNOWN))
    assert b"You wrote to wang.l@there.test in" in (notice.content.in_memory or b"")
    assert near.asked == ["wang@there.test"]
    made = message(2, "wang@there.test")
    full = Refused(reply(552, "5.2.2", "full"), Cause.REPLY, "mx.there.test")
    (notice,) = await tidings.compose(made, ended(made, full))
    assert b"You wrote to" not in (notice.content.in_memory or b"")
    assert near.asked == ["wang@there.test"]


async def test_where_an_alias_led_nobody_is_suggested(
    clock: FakeClock, homes: Homes, holdings: Holdings
) -> None:
    tidings = NoticeTidings(
        NoticeSettings(hostname="mx.postern.test"),
        432_000.0,
        Numbers(),
        clock,
        homes,
        holdings,
        Near(),
    )
    made = message(1, "wang@there.test")
    made.deliveries[0].original = "sales@here.test"
    (notice,) = await tidings.compose(made, ended(made, UNKNOWN))
    assert b"You wrote to" not in (notice.content.in_memory or b"")


async def test_a_letter_to_thousands_looks_for_a_few(
    clock: FakeClock, homes: Homes, holdings: Holdings
) -> None:
    near = Near()
    tidings = NoticeTidings(
        NoticeSettings(hostname="mx.postern.test"),
        432_000.0,
        Numbers(),
        clock,
        homes,
        holdings,
        near,
    )
    made = message(1, *(f"u{n}@there.test" for n in range(100)))
    await tidings.compose(made, ended(made, UNKNOWN))
    assert len(near.asked) == 20
