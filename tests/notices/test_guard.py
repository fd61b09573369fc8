from collections.abc import Callable
from dataclasses import replace

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Notify, Recipient, Sender
from postern.mail.outcome import Cause, Delivered, Refused
from postern.mail.reply import reply
from postern.notices.failure import failure_notice
from postern.notices.guard import RateGuard, is_report, objection, wants
from postern.notices.notice import (
    HoldInstead,
    Kind,
    NoNotice,
    Notice,
    Origin,
    Original,
    Others,
    RecipientEnd,
)
from postern.notices.settings import NoticeSettings

EndMaker = Callable[..., RecipientEnd]
NOW = 1_795_600_000.0
CANCELLED = Refused(reply(554, "5.7.0", "cancelled"), Cause.CANCELLED)


@pytest.mark.parametrize(
    ("notify", "failure", "delay", "success"),
    [
        (None, True, True, False),
        (Notify.NEVER, False, False, False),
        (Notify.FAILURE, True, False, False),
        (Notify.DELAY, False, True, False),
        (Notify.SUCCESS, False, False, True),
        (Notify.SUCCESS | Notify.FAILURE | Notify.DELAY, True, True, True),
    ],
)
def test_notify_is_honoured(
    make_end: EndMaker, notify: Notify | None, *, failure: bool, delay: bool, success: bool
) -> None:
    end = make_end(recipient=Recipient(Address("a", "b.example"), notify))
    wanted = [wants(end, kind) for kind in (Kind.FAILURE, Kind.DELAY, Kind.SUCCESS)]
    assert wanted == [failure, delay, success]


@pytest.mark.parametrize(
    ("origin", "is_ours", "expected"),
    [
        (Origin.OURS, False, None),
        (Origin.OURS, True, None),
        (Origin.OUTSIDE_PROVEN, False, None),
        (Origin.OUTSIDE_PROVEN, True, None),
        (Origin.OUTSIDE, False, None),
        (Origin.OUTSIDE, True, HoldInstead),
    ],
)
def test_an_unproven_sender_is_told_only_what_smtp_could_not_refuse(
    original: Original,
    make_end: EndMaker,
    settings: NoticeSettings,
    origin: Origin,
    expected: type | None,
    *,
    is_ours: bool,
) -> None:
    about = replace(original, origin=origin)
    answer = objection(about, make_end(is_ours=is_ours), Kind.FAILURE, settings)
    assert (None if answer is None else type(answer)) is expected


@pytest.mark.parametrize("kind", [Kind.FAILURE, Kind.DELAY, Kind.SUCCESS])
@pytest.mark.parametrize("origin", list(Origin))
def test_the_null_sender_is_never_told_anything(
    original: Original, make_end: EndMaker, settings: NoticeSettings, kind: Kind, origin: Origin
) -> None:
    about = replace(original, sender=Sender(None), origin=origin)
    everything = Recipient(Address("a", "b.example"), ~Notify.NEVER)
    answer = objection(about, make_end(recipient=everything), kind, settings)
    assert isinstance(answer, NoNotice)


def test_our_own_daemon_is_never_told_anything(
    original: Original, make_end: EndMaker, settings: NoticeSettings
) -> None:
    daemon = Sender(Address("mailer-daemon", "mx1.host.example"))
    about = replace(original, sender=daemon)
    assert isinstance(objection(about, make_end(), Kind.FAILURE, settings), NoNotice)


def test_delays_and_successes_are_not_told_to_unproven_senders(
    original: Original, make_end: EndMaker, settings: NoticeSettings
) -> None:
    about = replace(original, origin=Origin.OUTSIDE)
    asked = Recipient(Address("a", "b.example"), Notify.SUCCESS | Notify.DELAY)
    end = make_end(recipient=asked, outcome=Delivered(reply(250, "2.0.0", "ok"), "mx"))
    assert isinstance(objection(about, end, Kind.DELAY, settings), NoNotice)
    assert isinstance(objection(about, end, Kind.SUCCESS, settings), NoNotice)
    proven = replace(original, origin=Origin.OUTSIDE_PROVEN)
    assert isinstance(objection(proven, end, Kind.DELAY, settings), NoNotice)
    assert objection(proven, end, Kind.SUCCESS, settings) is None


def test_cancelled_spam_is_not_told_to_its_forged_sender(
    original: Original, make_end: EndMaker, settings: NoticeSettings
) -> None:
    end = make_end(outcome=CANCELLED)
    outside = replace(original, origin=Origin.OUTSIDE)
    assert isinstance(objection(outside, end, Kind.FAILURE, settings), NoNotice)
    assert objection(original, end, Kind.FAILURE, settings) is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n", True),
        (b'content-type: Multipart/Report;\r\n\tReport-Type="delivery-status"\r\n\r\n', True),
        (b"Content-Type: multipart/report; report-type=disposition-notification\r\n\r\n", False),
        (b"Content-Type: text/plain\r\nAuto-Submitted: auto-generated\r\n\r\n", False),
        (b"\r\n", False),
    ],
)
def test_a_delivery_report_is_known_by_its_type(head: bytes, *, expected: bool) -> None:
    assert is_report(head) is expected


def test_notices_to_one_sender_outside_are_bounded_and_over_it_mail_is_held(
    original: Original, make_end: EndMaker, settings: NoticeSettings
) -> None:
    rate = RateGuard(replace(settings, per_sender_per_hour=3))
    outside = replace(original, origin=Origin.OUTSIDE)

    def answered(now: float) -> type:
        (answer,) = failure_notice(
            outside, [make_end()], others=Others(), settings=settings, rate=rate, now=now
        )
        return type(answer)

    assert [answered(NOW + n) for n in range(4)] == [Notice, Notice, Notice, HoldInstead]
    assert answered(NOW + 3599) is HoldInstead
    assert answered(NOW + 3600) is Notice


def test_our_own_users_are_always_told(original: Original, settings: NoticeSettings) -> None:
    rate = RateGuard(replace(settings, per_sender_per_hour=1))
    assert all(rate.admit(original, NOW) for _ in range(100))


def test_forged_senders_together_are_bounded_and_do_not_stop_proven_ones(
    original: Original, settings: NoticeSettings
) -> None:
    rate = RateGuard(replace(settings, unproven_per_hour=10, remembered_senders=5))
    outcomes = []
    for n in range(20):
        forged = Sender(Address(f"user{n}", "victim.example"))
        outcomes.append(rate.admit(replace(original, sender=forged, origin=Origin.OUTSIDE), NOW))
    assert outcomes == [True] * 10 + [False] * 10
    assert rate.admit(replace(original, origin=Origin.OUTSIDE_PROVEN), NOW)


def test_a_clock_set_back_does_not_silence_notices_for_long(
    original: Original, settings: NoticeSettings
) -> None:
    rate = RateGuard(replace(settings, per_sender_per_hour=1))
    outside = replace(original, origin=Origin.OUTSIDE)
    assert rate.admit(outside, NOW)
    assert not rate.admit(outside, NOW)
    assert rate.admit(outside, NOW - 86_400)


def test_letters_about_held_mail_are_bounded_for_each_mailbox(settings: NoticeSettings) -> None:
    rate = RateGuard(settings)
    li, bo = Address("li", "harbour.example"), Address("bo", "harbour.example")
    assert [rate.admit_letter(li, NOW) for _ in range(6)] == [True] * 5 + [False]
    assert rate.admit_letter(bo, NOW)
    assert rate.admit_letter(li, NOW + 3600)
