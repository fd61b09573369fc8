"""Call-ahead: asks a customer's own server whether it has a mailbox, and remembers the answer.

Without it a gateway would accept mail for every guessed name and bounce it to forged senders.
Known recipients go on being accepted while their server is down; one never heard of is answered
4xx then, because "couldn't tell" is not "no".
"""

from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from postern.directory.resolution import Gateway
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import Reply, reply
from postern.mail.route import Route, SmtpRoute
from postern.reception.recipients import ACCEPTED
from postern.runtime.clock import Clock

KNOWN_S = 7 * 86_400.0
REFRESH_S = 3600.0
UNKNOWN_S = 600.0
COULDNT_TELL_S = 20.0
MAX_REMEMBERED = 50_000
REJECTED_HERE = (550, 551, 553)
"""Replies that speak of the recipient (RFC 5321 §4.2.3); others speak of us or of the server."""


class Router(Protocol):
    """Finds the customer's server."""

    async def route(self, address: Address, via: str | None = None) -> Route:
        """The way to the recipient's server."""
        ...


class Prober(Protocol):
    """Asks a server about a recipient without sending mail."""

    async def verify(self, route: SmtpRoute, recipient: Recipient) -> Outcome:
        """MAIL FROM:<>, RCPT TO, RSET: what the server said of the recipient."""
        ...


@dataclass(slots=True)
class _Known:
    verdict: Verdict
    asked_at: float
    good_until: float


class CallAhead:
    """Remembers what customers' servers say of their mailboxes; one per worker."""

    def __init__(self, router: Router, prober: Prober, clock: Clock) -> None:
        self._router = router
        self._prober = prober
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def cached(self, gateway: Gateway, address: Address) -> Verdict | None:
        """What is known and fresh; None: ask."""
        known = self._known.get(_key(gateway, address))
        if known is None:
            return None
        now = self._clock.monotonic()
        fresh_s = REFRESH_S if known.verdict.effect is Effect.ACCEPT else UNKNOWN_S
        if now >= known.good_until or now - known.asked_at >= fresh_s:
            return None
        return known.verdict

    def ask(self, gateway: Gateway, address: Address) -> Awaitable[Verdict]:
        """Ask the server; an answer it gave before counts when it can't be asked now."""
        return self._ask(gateway, address)

    async def _ask(self, gateway: Gateway, address: Address) -> Verdict:
        started = self._clock.monotonic()
        route = await self._router.route(address)
        if isinstance(route, SmtpRoute):
            outcome = await self._prober.verify(route, Recipient(address))
        else:
            # The gateway was taken away between the look-up and now.
            text = f"the way to the mail server of {address.domain} is not known now"
            outcome = Deferred(reply(450, "4.4.3", text), Cause.DNS)
        now = self._clock.monotonic()
        verdict, keep_s = self._judge(gateway, address, outcome, now - started)
        if keep_s:
            self._remember(_key(gateway, address), _Known(verdict, now, now + keep_s))
        return verdict

    def _judge(
        self, gateway: Gateway, address: Address, outcome: Outcome, seconds: float
    ) -> tuple[Verdict, float]:
        """The verdict, and how long to remember it (0: what was known stays)."""
        match outcome:
            case Delivered():
                return ACCEPTED, KNOWN_S
            case Refused(reply=said) if said.code in REJECTED_HERE:
                return _unknown(address, said, seconds), UNKNOWN_S
            case Refused(reply=said) | Deferred(reply=said):
                before = self._known.get(_key(gateway, address))
                if before is not None and before.verdict.effect is Effect.ACCEPT:
                    return before.verdict, 0.0
                return _couldnt_tell(address, said, seconds), COULDNT_TELL_S

    def _remember(self, key: tuple[str, str], known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


def _key(gateway: Gateway, address: Address) -> tuple[str, str]:
    return (f"{gateway.host}:{gateway.port}", address.key)


def _unknown(address: Address, said: Reply, seconds: float) -> Verdict:
    text = f"the mail server of {address.domain} has no mailbox {address}"
    return Verdict(
        Effect.REFUSE,
        reply(550, "5.1.1", f"Not accepted: {text}; check the spelling"),
        Finding("rcpt.unknown", Result.FAIL, f"{text} ({said})", Whose.SENDER, seconds),
    )


def _couldnt_tell(address: Address, said: Reply, seconds: float) -> Verdict:
    text = f"the mail server of {address.domain} can't say just now whether {address} exists"
    return Verdict(
        Effect.REFUSE_FOR_NOW,
        reply(450, "4.4.1", f"Not accepted for now: {text}"),
        Finding(
            "rcpt.couldnt-tell",
            Result.COULDNT_TELL,
            f"{text} ({said})",
            Whose.RECIPIENT,
            seconds,
        ),
    )
