"""How much one account, and all of one domain, may send to addresses outside.

What is over the limit is accepted and waits: a shop's newsletter goes out, only not at once, and a
stolen password does little harm before somebody notices. Who has not been written to before counts
for more: people write to those they know, and whoever sends junk through their account does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from postern.mail.address import Address
from postern.runtime.clock import Clock
from postern.runtime.ratetable import RateTable

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class AllowanceSettings:
    """Recipients outside, a day; 0: any number.

    ``first_recipients`` were never written to before by the account. ``spike_first_recipients`` of
    them within ``spike_s`` are taken for a stolen password.
    """

    recipients: int = 0
    first_recipients: int = 0
    domain_recipients: int = 0
    spike_first_recipients: int = 0
    spike_s: float = 600.0

    @property
    def is_off(self) -> bool:
        """True when nothing is limited."""
        return not (
            self.recipients
            or self.first_recipients
            or self.domain_recipients
            or self.spike_first_recipients
        )


@dataclass(frozen=True, slots=True)
class Excess:
    """More than is allowed: how long the mail waits, and why, as a clause without a full stop."""

    wait_s: float
    text: str


@dataclass(frozen=True, slots=True)
class _Limit:
    key: str
    most: int
    text: str
    is_of_first: bool = False


class Allowance:
    """Counts what leaves, in the table that all workers share."""

    def __init__(self, settings: AllowanceSettings, table: RateTable, clock: Clock) -> None:
        self._settings = settings
        self._table = table
        self._clock = clock

    @property
    def is_off(self) -> bool:
        """True when nothing is limited."""
        return self._settings.is_off

    @property
    def tells_first(self) -> bool:
        """Whether it matters who is written to for the first time."""
        return bool(self._settings.first_recipients or self._settings.spike_first_recipients)

    def take(self, account: Address, firsts: Sequence[bool]) -> list[Excess | None]:
        """Count one message; what each of its recipients exceeds, if anything.

        They count in any case: the next one waits longer, so that in the end no more leaves than is
        allowed. Of one message to many, those leave at once who are within the limit.

        Args:
            account: who signed in.
            firsts: for each address outside, whether the account never wrote to it.
        """
        now = self._clock.monotonic()
        found: list[Excess | None] = [None] * len(firsts)
        for limit in self._limits(account):
            taken = 0
            for place, is_first in enumerate(firsts):
                if limit.is_of_first and not is_first:
                    continue
                wait_s = self._table.wait_s(limit.key, limit.most, DAY_S, now, taken)
                taken += 1
                worst = found[place]
                if wait_s and (worst is None or wait_s > worst.wait_s):
                    found[place] = Excess(wait_s, limit.text)
            if taken:
                self._table.count(limit.key, limit.most, DAY_S, now, taken)
        return found

    def is_spike(self, account: Address, first: int) -> bool:
        """Count who is written to for the first time; whether it is too many at once."""
        most, span_s = self._settings.spike_first_recipients, self._settings.spike_s
        if not most or not first:
            return False
        now, key = self._clock.monotonic(), _spike_key(account)
        is_over = self._table.wait_s(key, most, span_s, now) > 0.0
        self._table.count(key, most, span_s, now, min(first, most))
        return is_over or first > most

    def forgive(self, account: Address) -> None:
        """A person has looked and thawed it: what it did until now is no spike any more."""
        self._table.forget(_spike_key(account))

    def _limits(self, account: Address) -> list[_Limit]:
        most = self._settings
        limits = [
            _Limit(
                f"out {account.key}",
                most.recipients,
                f"{account} sends to more than {most.recipients} recipients a day",
            ),
            _Limit(
                f"out first {account.key}",
                most.first_recipients,
                f"{account} writes to more than {most.first_recipients} recipients a day for the"
                " first time",
                is_of_first=True,
            ),
            _Limit(
                f"out @{account.domain}",
                most.domain_recipients,
                f"{account.domain} sends to more than {most.domain_recipients} recipients a day",
            ),
        ]
        return [limit for limit in limits if limit.most]


def _spike_key(account: Address) -> str:
    return f"out spike {account.key}"
