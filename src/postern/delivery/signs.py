"""What a failure says of the path: values of a connection in, a sign out. Pure."""

import re

from postern.delivery.smtp_connection import SmtpConnection
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.paths import Path, Sign
from postern.mail.reply import Reply
from postern.mail.route import TlsPolicy, Way
from postern.mail.smtp.client_opening import Stage

_GREYLIST = re.compile(r"gr[ae]y.?list", re.IGNORECASE)
_SESSION = re.compile(
    r"\b(?:messages?|mails?|transactions?)\b.{0,20}\b(?:in|per|on|for|during) "
    r"(?:this |the |an? |one |each )?(?:single )?(?:smtp )?(?:connection|session)\b",
    re.IGNORECASE,
)
_OF_LOGINS = frozenset({530, 535})  # RFC 4954 §6
LATE = {
    Sign.SILENT: "gave no answer within",
    Sign.MUTE: "gave no greeting within",
    Sign.TLS_STALLED: "did not finish STARTTLS within",
    Sign.SLOW: "was not ready for mail within",
}
"""What ``sign_of_delay`` may say, in words."""
_LOST = frozenset({Cause.SILENT, Cause.RESET, Cause.CLOSED})
_HUNG_UP = frozenset({Cause.RESET, Cause.CLOSED, Cause.TLS})
_NOT_CONNECTED = {
    Cause.REFUSED: Sign.REFUSED,
    Cause.SILENT: Sign.SILENT,
    Cause.RESET: Sign.RESET,
    Cause.CLOSED: Sign.CLOSED,
}
"""Before the greeting; our own trouble (``Cause.LOCAL``) says nothing of a path."""
_BROKEN = _LOST | {Cause.TLS, Cause.PROTOCOL, Cause.LOST_AFTER_DOT}
_WITH_TLS_DECIDED = frozenset({Stage.AUTH, Stage.OPEN})


def sign_of_opening(connection: SmtpConnection, failure: Deferred) -> Sign | None:
    """Why a connection never came to carry mail; None: it says nothing of the path."""
    said = failure.reply if failure.remote else None
    match connection.machine.opened_to:
        case Stage.GREETING:
            return _of_greeting(connection, failure, said)
        case Stage.EHLO | Stage.HELO:
            return _of_hello(failure, said)
        case Stage.STARTTLS:
            return _of_starttls(connection, failure, said)
        case Stage.HANDSHAKE:
            return connection.tls_trouble or _unless_ours(failure, Sign.TLS_BROKEN)
        case Stage.AUTH:
            if failure.cause is Cause.TLS:
                return Sign.TLS_MISSING
            if said is not None and said.code == 421:
                return Sign.THROTTLED
            is_refused = failure.cause is Cause.LOCKED_OUT
            return Sign.LOCKED_OUT if is_refused else _unless_ours(failure, Sign.BROKEN_OFF)
        case _:
            return _unless_ours(failure, Sign.BROKEN_OFF)


def sign_of_delay(connection: SmtpConnection) -> Sign:
    """What it means that an opening takes so long."""
    machine = connection.machine
    if not machine.is_greeted:
        if connection.has_heard:
            return Sign.SLOW  # postscreen and its kin: begun at once, and ended seconds later
        return Sign.MUTE if connection.is_connected else Sign.SILENT
    if machine.opened_to in {Stage.STARTTLS, Stage.HANDSHAKE}:
        return Sign.TLS_STALLED
    return Sign.SLOW


def is_stale(connection: SmtpConnection) -> bool:
    """Whether a line that had rested was at its end before our MAIL came there.

    That is nobody's failure. A 421 that answers MAIL is an answer, unless it speaks of this
    session alone: some servers take so many messages in each, and no more.
    """
    machine = connection.machine
    said = machine.turned_away
    if said is not None:
        is_of_session = said.code == 421 and not said.enhanced.startswith("4.7.")
        return connection.was_stale or (is_of_session and bool(_SESSION.search(said.text)))
    failure = machine.failure
    return not machine.answered and failure is not None and failure.cause in _HUNG_UP


def sign_of_transaction(connection: SmtpConnection, outcomes: tuple[Outcome, ...]) -> Sign | None:
    """What a transaction that is over says of the path; None: nothing."""
    machine = connection.machine
    if machine.turned_away is not None:
        return _of_turning_away(machine.turned_away)
    if machine.is_to_relay and _is_locked_out(outcomes):
        return Sign.LOCKED_OUT
    failure = machine.failure
    if failure is None or failure.whose is Whose.US:
        return None
    return Sign.BROKEN_OFF if failure.cause in _BROKEN else None


def _is_locked_out(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether a relay speaks of us, and not of one of its recipients."""
    refusals = [
        outcome.reply.code
        for outcome in outcomes
        if isinstance(outcome, Deferred) and outcome.cause is Cause.LOCKED_OUT
    ]
    if not refusals:
        return False
    return len(refusals) == len(outcomes) or not _OF_LOGINS.isdisjoint(refusals)


def path_of(way: Way, connection: SmtpConnection) -> Path:
    """The path of an opening, or of what became of it.

    Until it is known whether there will be TLS, the path is the one that was meant: encrypted,
    unless the way is in clear.
    """
    target = way.target
    if connection.machine.opened_to in _WITH_TLS_DECIDED:
        encrypted = bool(connection.tls)
    else:
        encrypted = target.tls.policy is not TlsPolicy.NEVER
    return Path(way.egress.name, target.ip, target.port, encrypted)


def _of_greeting(connection: SmtpConnection, failure: Deferred, said: Reply | None) -> Sign | None:
    if said is not None:
        if said.is_transient:
            return Sign.GREYLISTED if _GREYLIST.search(said.text) else Sign.BUSY
        return Sign.UNWELCOME
    if failure.cause is Cause.PROTOCOL:
        return Sign.BROKEN_OFF
    if failure.cause is Cause.SILENT and connection.has_heard:
        return Sign.SLOW  # a little at a time, and never a whole line
    if failure.cause is Cause.SILENT and connection.is_connected:
        return Sign.MUTE
    return _NOT_CONNECTED.get(failure.cause)


def _of_hello(failure: Deferred, said: Reply | None) -> Sign | None:
    if said is not None:
        return _of_turning_away(said) or (Sign.BUSY if said.is_transient else Sign.UNWELCOME)
    if failure.cause in _LOST or failure.cause in {Cause.LOCAL, Cause.PROTOCOL}:
        return _unless_ours(failure, Sign.BROKEN_OFF)
    return Sign.TLS_MISSING  # our own words: it offers none, and it must


def _of_starttls(connection: SmtpConnection, failure: Deferred, said: Reply | None) -> Sign | None:
    if said is not None:
        return Sign.THROTTLED if said.code == 421 else Sign.TLS_REFUSED
    return connection.tls_trouble or _unless_ours(failure, Sign.TLS_BROKEN)


def _of_turning_away(said: Reply) -> Sign | None:
    """Throttled: 421, or 4.7.x (RFC 3463 §3.8: policy) for whoever comes from here."""
    if not said.is_transient:
        return None
    if _GREYLIST.search(said.text):
        return Sign.GREYLISTED
    return Sign.THROTTLED if said.code == 421 or said.enhanced.startswith("4.7.") else None


def _unless_ours(failure: Deferred, sign: Sign) -> Sign | None:
    return None if failure.cause is Cause.LOCAL else sign
