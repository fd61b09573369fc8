"""Our users' mail before the queue: over the allowance it waits, and a frozen account's is held."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from tests.spool.mail import message

from postern.directory.freezes import Freeze
from postern.directory.model import Mailbox
from postern.mail.address import Address
from postern.measures.temporary import Kind, Temporary
from postern.policy.allowance import DAY_S, Allowance, AllowanceSettings
from postern.queue.rationed import Rationed
from postern.runtime.clock import FakeClock
from postern.runtime.ratetable import RateTable
from postern.spool.message import DeliveryState, Message, Origin

WANG = Address("wang", "here.test")
BOX = Mailbox("01J", WANG, enabled=True, created_at=0.0)


@dataclass
class Queue:
    """Takes everything."""

    taken: list[Message] = field(default_factory=list)

    def prepare(self, message: Message) -> None:
        self.taken.append(message)

    def submit(self, message: Message) -> None:
        raise AssertionError


class Here:
    """here.test is ours, and wang lives there."""

    def mailbox_of(self, address: Address) -> Mailbox | None:
        return BOX if address == WANG else None

    def is_ours(self, address: Address) -> bool:
        return address.domain == "here.test"


@dataclass
class Desk:
    """One worker's, with what it was asked to freeze and whom it looked up."""

    settings: AllowanceSettings
    frozen: Callable[[Address], Freeze | None] = lambda account: None
    unlimited: frozenset[str] = frozenset()
    asked: list[Address] = field(default_factory=list)
    freezes: list[tuple[Address, str]] = field(default_factory=list)
    rates: RateTable = field(default_factory=RateTable)
    clock: FakeClock = field(default_factory=FakeClock)

    def prepare(self, *to: str, account: str = str(WANG), origin: Origin = Origin.OURS) -> Message:
        made = replace(message(1, *to), origin=origin)
        made.conversation.account = account

        def knows(mailbox_id: str, address: Address) -> bool:
            self.asked.append(address)
            return address.local.startswith("known")

        rationed = Rationed(
            Queue(),
            Allowance(self.settings, self.rates, self.clock),
            Here(),
            knows,
            lambda account, text: self.freezes.append((account, text)),
            self.frozen,
        )
        rationed.unlimited = self.unlimited
        rationed.prepare(made)
        return made


def states(made: Message) -> list[str]:
    return [delivery.state.name for delivery in made.deliveries]


def test_of_one_message_to_too_many_the_first_leave_and_the_others_follow_evenly() -> None:
    desk = Desk(AllowanceSettings(recipients=24))
    made = desk.prepare(*[f"a{n}@far.test" for n in range(26)], "boss@here.test")
    assert states(made) == ["FRESH"] * 24 + ["WAITING"] * 2 + ["FRESH"]
    waits = [d.due - made.accepted_at for d in made.deliveries[24:26]]
    assert waits == pytest.approx([3600.0, 7200.0])
    (cause,) = {(d.cause, d.whose, d.last_reply) for d in made.deliveries[24:26]}
    assert cause == (
        "over-limit",
        "sender",
        "450 4.7.1 wang@here.test sends to more than 24 recipients a day",
    )
    (later,) = desk.prepare("b@far.test").deliveries
    assert later.due - made.accepted_at == pytest.approx(3 * 3600.0)


def test_who_was_written_to_before_waits_for_no_limit_on_strangers() -> None:
    desk = Desk(AllowanceSettings(first_recipients=1))
    made = desk.prepare("x@far.test", "known1@far.test", "y@far.test", "known2@far.test")
    assert states(made) == ["FRESH", "FRESH", "WAITING", "FRESH"]
    assert made.deliveries[2].due - made.accepted_at == pytest.approx(DAY_S)


def test_nobody_is_looked_up_where_strangers_do_not_matter() -> None:
    desk = Desk(AllowanceSettings(recipients=5))
    desk.prepare("x@far.test")
    assert desk.asked == []


def test_nothing_waits_longer_than_it_may() -> None:
    desk = Desk(AllowanceSettings(recipients=1))
    made = desk.prepare(*[f"a{n}@far.test" for n in range(30)])
    assert {d.due for d in made.deliveries[10:]} == {made.expires_at}


def test_spike_holds_what_would_leave_and_freezes_the_account() -> None:
    desk = Desk(AllowanceSettings(spike_first_recipients=2))
    made = desk.prepare("x@far.test", "y@far.test", "z@far.test", "boss@here.test")
    assert states(made) == ["HELD"] * 3 + ["FRESH"]
    assert [account for account, _ in desk.freezes] == [WANG]


def test_message_that_came_in_while_its_account_was_frozen_is_held_limits_or_not() -> None:
    made = Temporary("01K", Kind.FREEZE, "ticket 812", "cli:li", 0.0, None)
    freeze = Freeze("F1", WANG, made)
    desk = Desk(AllowanceSettings(), frozen=lambda account: freeze if account == WANG else None)
    held = desk.prepare("x@far.test", "boss@here.test")
    assert states(held) == ["HELD", "HELD"]
    assert held.deliveries[0].last_reply == "450 4.7.1 wang@here.test is frozen: ticket 812"
    assert states(desk.prepare("x@far.test", account="li@here.test")) == ["FRESH"]
    assert desk.freezes == []


@pytest.mark.parametrize(
    ("account", "origin"), [("", Origin.OURS), (str(WANG), Origin.OUTSIDE)], ids=["none", "outside"]
)
def test_what_no_account_sent_is_not_counted(account: str, origin: Origin) -> None:
    desk = Desk(AllowanceSettings(recipients=1))
    many = [f"a{n}@far.test" for n in range(3)]
    assert states(desk.prepare(*many, account=account, origin=origin)) == ["FRESH"] * 3


def test_mail_goes_on_where_an_error_keeps_it_from_being_counted() -> None:
    desk = Desk(AllowanceSettings(first_recipients=1))

    def broken(account: Address) -> Freeze | None:
        raise OSError("disk I/O error")

    desk.frozen = broken
    assert states(desk.prepare("x@far.test")) == [DeliveryState.FRESH.name]


def test_an_account_that_relays_for_another_server_has_no_limit_and_can_be_frozen() -> None:
    many = [f"a{n}@far.test" for n in range(3)]
    desk = Desk(AllowanceSettings(recipients=1), unlimited=frozenset({WANG.key}))
    assert states(desk.prepare(*many)) == ["FRESH"] * 3
    freeze = Freeze("F1", WANG, Temporary("01K", Kind.FREEZE, "x", "cli:li", 0.0, None))
    desk.frozen = lambda account: freeze
    assert states(desk.prepare(*many)) == ["HELD"] * 3
