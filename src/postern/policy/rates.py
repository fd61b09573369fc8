"""How much mail comes, by client, network, sender and recipient: ``rate.exceeded``.

What is refused is not counted, so whoever sends too much gets what is allowed, evenly, and the rest
later. The counts are of mail that was offered for people who live here, whatever became of it.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from postern.directory.names import key_of
from postern.mail.address import Address
from postern.mail.finding import Finding, Result, Whose
from postern.policy.networks import as_client, as_network
from postern.policy.rules.match import Facts, is_proven
from postern.runtime.clock import Clock
from postern.runtime.ratetable import RateTable

CHECK = "rate.exceeded"


@dataclass(frozen=True, slots=True)
class RateSettings:
    """How many in each period; 0: any number."""

    period_s: float = 3600.0
    messages_per_address: int = 0
    messages_per_network: int = 0
    messages_per_sender: int = 0
    messages_per_recipient: int = 0
    recipients_per_address: int = 0
    recipients_per_sender: int = 0

    @property
    def is_off(self) -> bool:
        """True when nothing is limited."""
        return not any(astuple(self)[1:])


@dataclass(frozen=True, slots=True)
class _Limit:
    """``who`` may have ``most`` of ``what`` in a period."""

    who: str
    what: str
    most: int
    whose: Whose = Whose.SENDER


class Rates:
    """The limits of one configuration over the table that all workers share."""

    def __init__(self, settings: RateSettings, table: RateTable, clock: Clock) -> None:
        self._settings = settings
        self._table = table
        self._clock = clock
        self._span = _span(settings.period_s)

    def of_message(self, facts: Facts) -> Finding | None:
        """Count one message, once it is known who is proven to send it; or what is exceeded."""
        most = self._settings
        limits: list[_Limit] = []
        if facts.ip is not None:
            limits.append(_Limit(as_client(facts.ip), "messages", most.messages_per_address))
            limits.append(_Limit(as_network(facts.ip), "messages", most.messages_per_network))
        if facts.mail_from is not None:
            sender = _sender(facts.mail_from, facts)
            limits.append(_Limit(sender, "messages", most.messages_per_sender))
        return self._take(limits)

    def of_recipient(self, named: Address, facts: Facts) -> Finding | None:
        """Count one recipient of a message; or what is exceeded."""
        most = self._settings
        limits: list[_Limit] = []
        if facts.ip is not None:
            limits.append(_Limit(as_client(facts.ip), "recipients", most.recipients_per_address))
        if facts.mail_from is not None:
            sender = _sender(facts.mail_from, facts)
            limits.append(_Limit(sender, "recipients", most.recipients_per_sender))
        to = f"to {key_of(named)}"
        limits.append(_Limit(to, "messages", most.messages_per_recipient, Whose.RECIPIENT))
        return self._take(limits)

    def _take(self, limits: Iterable[_Limit]) -> Finding | None:
        """Count in all limits, or, when one is exceeded, in none."""
        period_s, now = self._settings.period_s, self._clock.monotonic()
        wanted = [(limit, f"{limit.what} {limit.who}") for limit in limits if limit.most]
        for limit, key in wanted:
            if self._table.wait_s(key, limit.most, period_s, now):
                return Finding(CHECK, Result.FAIL, self._words(limit), limit.whose)
        for limit, key in wanted:
            self._table.count(key, limit.most, period_s, now)
        return None

    def _words(self, limit: _Limit) -> str:
        if limit.whose is Whose.RECIPIENT:
            return f"this recipient gets no more than {limit.most} {limit.what} {self._span}"
        return f"no more than {limit.most} {limit.what} {self._span} are taken from {limit.who}"


def _sender(sender: Address, facts: Facts) -> str:
    """Whom a sender counts as: all of a domain that is proven, else the address it says."""
    return f"@{sender.domain}" if is_proven(sender, facts.proven) else sender.key


def _span(seconds: float) -> str:
    named = {60.0: "a minute", 3600.0: "an hour", 86_400.0: "a day", 604_800.0: "a week"}
    return named.get(seconds, f"in {seconds:g} seconds")
