"""Call-ahead: asks a customer's own server whether it has a mailbox, and remembers the answer.

Without it a gateway would accept mail for every guessed name and bounce it to forged senders.
Known recipients go on being accepted while their server is down; one never heard of is answered
4xx then, because "couldn't tell" is not "no".
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from postern.directory.resolution import Gateway
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import Reply, reply
from postern.mail.route import Route, SmtpRoute, Way
from postern.reception.quota import ACCEPTED
from postern.runtime.clock import Clock

KNOWN_S = 7 * 86_400.0
REFRESH_S = 3600.0
UNKNOWN_S = 600.0
COULDNT_TELL_S = 20.0
MAX_KNOWN = 50_000
MAX_UNKNOWN = 10_000
MAX_SILENT = 1_000
MAX_ASKING = 200
REJECTED_HERE = (550, 551, 553)
"""Replies that speak of the recipient (RFC 5321 §4.2.3); others speak of us or of the server."""


Key = tuple[str, str]
"""The server (``host:port``) and the recipient."""


@dataclass(frozen=True, slots=True)
class _Silent:
    """A server that did not answer, what became of the try, and until when it is left alone."""

    said: Reply
    until: float


class Router(Protocol):
    """Finds the customer's server."""

    async def route(self, address: Address, via: str | None = None) -> Route:
        """The way to the recipient's server."""
        ...


class Prober(Protocol):
    """Asks a server about a recipient without sending mail."""

    async def verify(self, ways: Sequence[Way], recipient: Recipient) -> Outcome:
        """MAIL FROM:<>, RCPT TO, RSET: what the server said of the recipient."""
        ...


@dataclass(slots=True)
class _Known:
    """An answer: fresh until ``fresh_until``, of use while the server is silent until ``until``."""

    verdict: Verdict
    fresh_until: float
    until: float


class CallAhead:
    """Remembers what customers' servers say of their mailboxes; one per worker.

    One question for all who ask the same at once; a server that could not be reached is left alone
    for a while, whoever is asked for; everything that is kept has a bound. Known recipients are
    kept apart from unknown ones, so that a guesser can't push them out.
    """

    def __init__(self, router: Router, prober: Prober, clock: Clock) -> None:
        self._router = router
        self._prober = prober
        self._clock = clock
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._unknown: OrderedDict[Key, _Known] = OrderedDict()
        self._silent: dict[str, _Silent] = {}
        self._asking: dict[Key, asyncio.Task[Verdict]] = {}

    def cached(self, gateway: Gateway, address: Address) -> Verdict | None:
        """What is known and fresh; None: ask."""
        key = _key(gateway, address)
        now = self._clock.monotonic()
        known = self._known.get(key) or self._unknown.get(key)
        if known is not None and now < known.fresh_until:
            return known.verdict
        silent = self._silent.get(key[0])
        if silent is None or now >= silent.until:
            return None
        return self._at_hand(key, now) or _couldnt_tell(address, silent.said, 0.0)

    async def ask(self, gateway: Gateway, address: Address) -> Verdict:
        """Ask the server; an answer it gave before counts when it can't be asked now."""
        key = _key(gateway, address)
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= MAX_ASKING:
                return self._at_hand(key, self._clock.monotonic()) or _couldnt_tell(
                    address, reply(450, "4.3.2", "too many questions are open"), 0.0
                )
            asking = asyncio.get_running_loop().create_task(self._ask(key, address))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # One who stops waiting must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _ask(self, key: Key, address: Address) -> Verdict:
        started = self._clock.monotonic()
        route = await self._router.route(address)
        if isinstance(route, SmtpRoute):
            outcome = await self._prober.verify(route.ways, Recipient(address))
        else:
            # The gateway was taken away between the look-up and now.
            text = f"the way to the mail server of {address.domain} is not known now"
            outcome = Deferred(reply(450, "4.4.3", text), Cause.DNS)
        now = self._clock.monotonic()
        return self._judge(key, address, outcome, now, now - started)

    def _judge(
        self, key: Key, address: Address, outcome: Outcome, now: float, seconds: float
    ) -> Verdict:
        match outcome:
            case Delivered():
                self._silent.pop(key[0], None)
                self._unknown.pop(key, None)
                known = _Known(ACCEPTED, now + REFRESH_S, now + KNOWN_S)
                _remember(self._known, key, known, MAX_KNOWN)
                return ACCEPTED
            case Refused(reply=said, cause=Cause.REPLY) if _speaks_of_recipient(said):
                self._silent.pop(key[0], None)
                self._known.pop(key, None)
                verdict = _unknown(address, said, seconds)
                unknown = _Known(verdict, now + UNKNOWN_S, now + UNKNOWN_S)
                _remember(self._unknown, key, unknown, MAX_UNKNOWN)
                return verdict
            case Refused(reply=said, cause=cause) | Deferred(reply=said, cause=cause):
                if cause is not Cause.REPLY:
                    self._note_silence(key[0], now, said)
                verdict = _couldnt_tell(address, said, seconds)
                known_before = self._known.get(key)
                if known_before is not None and now < known_before.until:
                    known_before.fresh_until = now + COULDNT_TELL_S
                    return known_before.verdict
                doubt = _Known(verdict, now + COULDNT_TELL_S, now + COULDNT_TELL_S)
                _remember(self._unknown, key, doubt, MAX_UNKNOWN)
                return verdict

    def _at_hand(self, key: Key, now: float) -> Verdict | None:
        """What the server said when it last could, if that was yes."""
        known = self._known.get(key)
        return known.verdict if known is not None and now < known.until else None

    def _note_silence(self, server: str, now: float, said: Reply) -> None:
        if len(self._silent) >= MAX_SILENT:
            self._silent.clear()
        self._silent[server] = _Silent(said, now + COULDNT_TELL_S)


def _remember(answers: "OrderedDict[Key, _Known]", key: Key, known: _Known, most: int) -> None:
    answers[key] = known
    answers.move_to_end(key)
    if len(answers) > most:
        answers.popitem(last=False)


def _speaks_of_recipient(said: Reply) -> bool:
    """Whether a refusal means "no such mailbox" (RFC 5321 §4.2.3, RFC 3463 §3.8).

    5.7.x is policy: it speaks of us, or of what the server thinks of us.
    """
    return said.code in REJECTED_HERE and not said.enhanced.startswith("5.7.")


def _key(gateway: Gateway, address: Address) -> Key:
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
