"""Who may be told: the guards against writing to the innocent, and against loops.

A notice goes to the envelope sender, and anyone can write any sender there. So:

- never to the null sender (RFC 5321 §6.1), nor to our own MAILER-DAEMON;
- never about a notice: a delivery report sent on with some sender is held, not reported on;
- NOTIFY is honoured (RFC 3461 §4.1); without it a sender wants to hear of failure and delay;
- our own users are always told; senders outside whom SPF or DKIM proves are told at a bounded rate;
- a sender outside whom nothing proves is told only of what SMTP could not have refused: what
  failed behind a gateway or an alias, after we had taken the message. Until SPF and DKIM are
  checked that is the only way such a sender ever hears of it. What failed at a mailbox of ours is
  held for its owner instead, and so is whatever goes over the rate.

A success notice (RFC 3461 asks for it) to an unproven sender outside is not sent: it would let
anyone have Postern write to anyone, and nothing is lost without it. When an operator cancels mail
from such a sender nobody is told: he has seen it and decided.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from postern.mail.address import Address
from postern.mail.envelope import Notify
from postern.mail.message.header import HeaderScan
from postern.mail.outcome import Cause, Refused
from postern.notices.notice import HoldInstead, Kind, NoNotice, Origin, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

DAEMON = "MAILER-DAEMON"
"""Local part that notices come from; mail to it is not for people."""

_HOUR_S = 3600.0
_REPORT = re.compile(rb"\s*multipart/report\b", re.IGNORECASE)
_DELIVERY = re.compile(rb"report-type\s*=\s*\"?delivery-status", re.IGNORECASE)
_WANTED_BY_DEFAULT = Notify.FAILURE | Notify.DELAY
_ASKED = {Kind.FAILURE: Notify.FAILURE, Kind.DELAY: Notify.DELAY, Kind.SUCCESS: Notify.SUCCESS}


class RateGuard:
    """Counts notices in windows of an hour; bounded in memory, whoever writes.

    Its tables may forget an address under a flood of forged ones; the total for unproven senders
    is the bound that then still holds.
    """

    def __init__(self, settings: NoticeSettings) -> None:
        self._settings = settings
        self._senders = _Counts(settings.remembered_senders)
        self._unproven = _Counts(1)
        self._owners = _Counts(settings.remembered_senders)

    def admit(self, original: Original, now: float) -> bool:
        """True, and counted, when one more notice to this message's sender is within bounds.

        Our own users are always within.
        """
        sender = original.sender.address
        if original.origin is Origin.OURS or sender is None:
            return True
        limits = [(self._senders, sender.key, self._settings.per_sender_per_hour)]
        if original.origin is Origin.OUTSIDE:
            limits.append((self._unproven, "", self._settings.unproven_per_hour))
        if any(counts.seen(key, now) >= most for counts, key, most in limits):
            return False
        for counts, key, _ in limits:
            counts.add(key, now)
        return True

    def admit_letter(self, owner: Address, now: float) -> bool:
        """True, and counted, when one more letter about held mail may go to this mailbox."""
        if self._owners.seen(owner.key, now) >= self._settings.letters_per_hour:
            return False
        self._owners.add(owner.key, now)
        return True


class _Counts:
    """How often each key was counted within its running hour; the least recent are forgotten."""

    def __init__(self, most_keys: int) -> None:
        self._most_keys = most_keys
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def seen(self, key: str, now: float) -> int:
        """The count in the running hour; a clock set back starts a new one."""
        since, count = self._windows.get(key, (now, 0))
        return count if 0 <= now - since < _HOUR_S else 0

    def add(self, key: str, now: float) -> None:
        """One more."""
        count = self.seen(key, now)
        since = self._windows[key][0] if count else now
        self._windows[key] = (since, count + 1)
        self._windows.move_to_end(key)
        if len(self._windows) > self._most_keys:
            self._windows.popitem(last=False)


def wants(end: RecipientEnd, kind: Kind) -> bool:
    """True when the sender asked (or did not say) to be told this of this recipient."""
    asked = end.recipient.notify
    return bool((_WANTED_BY_DEFAULT if asked is None else asked) & _ASKED[kind])


def is_report(head: bytes) -> bool:
    """True when the message is itself a delivery status notification (RFC 3464)."""
    content_type = HeaderScan(head).first(b"content-type") or b""
    return bool(_REPORT.match(content_type) and _DELIVERY.search(content_type))


def objection(
    original: Original, end: RecipientEnd, kind: Kind, settings: NoticeSettings
) -> NoNotice | HoldInstead | None:
    """Why the sender may not be told this of one recipient; None when he may, rate aside."""
    sender = original.sender.address
    about = (end,)
    if sender is None:
        return NoNotice("the sender is null: no notice about a notice", about)
    if sender.local.upper() == DAEMON and sender.domain == settings.hostname.lower():
        return NoNotice("the sender is our own MAILER-DAEMON", about)
    if not wants(end, kind):
        return NoNotice(f"the sender's NOTIFY asks for no {kind.value} notice", about)
    if original.origin is Origin.OURS:
        return None
    return _objection_outside(original, end, kind)


def sort_out(
    original: Original, ends: Sequence[RecipientEnd], kind: Kind, settings: NoticeSettings
) -> tuple[tuple[RecipientEnd, ...], tuple[NoNotice | HoldInstead, ...]]:
    """The ends the sender may be told of, rate aside; and for the others why not, by reason."""
    told: list[RecipientEnd] = []
    others: dict[NoNotice | HoldInstead, list[RecipientEnd]] = {}
    for end in ends:
        against = objection(original, end, kind, settings)
        if against is None:
            told.append(end)
        else:
            others.setdefault(replace(against, about=()), []).append(end)
    return tuple(told), tuple(replace(why, about=tuple(them)) for why, them in others.items())


def _objection_outside(
    original: Original, end: RecipientEnd, kind: Kind
) -> NoNotice | HoldInstead | None:
    """The same for a sender who is not one of our users."""
    about = (end,)
    if kind is Kind.DELAY:
        return NoNotice("only our own users are told of delays", about)
    if kind is Kind.FAILURE and is_report(original.head):
        return HoldInstead("the message is itself a delivery report", about)
    if original.origin is Origin.OUTSIDE_PROVEN:
        return None
    if kind is Kind.SUCCESS:
        return NoNotice("nothing proves the sender's address", about)
    if isinstance(end.outcome, Refused) and end.outcome.cause is Cause.CANCELLED:
        return NoNotice("cancelled, and nothing proves the sender's address", about)
    if end.is_ours or end.is_suspect:
        return HoldInstead("nothing proves the sender's address", about)
    return None
