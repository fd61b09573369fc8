"""What a peer's reply, or its silence, means for a recipient."""

import re
from dataclasses import dataclass

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.reply import Reply, reply

_WAIT = re.compile(
    r"\b(?:in|for|after|wait)\s+(\d{1,5})\s*(s|secs?|seconds?|m|mins?|minutes?)\b", re.IGNORECASE
)
_MAX_WAIT_S = 4 * 3600.0
_AUTH_CODES = frozenset({530, 534, 535, 538})  # RFC 4954 §6
_NO_RELAY = re.compile(
    r"relay(?:ing)?(?: access)?(?: is)?[ :-]+(?:denied|not (?:permitted|allowed)|prohibited)"
    r"|(?:not (?:permitted|allowed|authori[sz]ed)|unable|refus\w+|do(?:es)? not|don't|won't|cannot)"
    r"(?: to)? relay|not signed in",
    re.IGNORECASE,
)
"""How servers say that they take no mail for others from us: Postfix, Exim, Sendmail, Exchange,
Postern.
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who speaks at the other end, and how the line to it stands.

    ``remote`` is how outcomes name it, such as ``mx.example [192.0.2.1]``; ``logs_in``: we have
    credentials for it; ``encrypted``: TLS is on; ``relay``: it is a relay of ours; ``verified``:
    its certificate is the one that was asked for.
    """

    remote: str
    lmtp: bool = False
    logs_in: bool = False
    encrypted: bool = False
    relay: bool = False
    verified: bool = False


def from_reply(answer: Reply, peer: Peer, *, to_rcpt: bool = False) -> Deferred | Refused:
    """The outcome of a 4xx or 5xx.

    Not every 5xx is the recipient's last word: one about TLS, our credentials or our right to use
    a relay is our own affair and never bounces anybody's mail, and 552 to RCPT means "too many
    recipients" unless it says otherwise (RFC 5321 §4.5.3.1.10).
    """
    if answer.is_transient:
        return Deferred(answer, Cause.REPLY, peer.remote, retry_after_s=wait_asked(answer.text))
    if answer.code in _AUTH_CODES and peer.logs_in:
        return Deferred(answer, Cause.LOCKED_OUT, peer.remote, Whose.US)
    if answer.code == 530 and not peer.encrypted:
        return Deferred(answer, Cause.TLS, peer.remote, Whose.BETWEEN)
    if (peer.relay or peer.logs_in) and _locks_us_out(answer):
        return Deferred(answer, Cause.LOCKED_OUT, peer.remote, Whose.US)
    if to_rcpt and answer.code == 552 and answer.enhanced in {"", "5.5.3"}:
        return Deferred(answer, Cause.REPLY, peer.remote)
    return Refused(answer, Cause.REPLY, peer.remote)


def _locks_us_out(answer: Reply) -> bool:
    """Whether a relay speaks of us, and not of the recipient.

    5.1.x speaks of the address, and may quote what another server told the relay of it.
    """
    if answer.enhanced.startswith("5.1."):
        return False
    return answer.code in _AUTH_CODES or _NO_RELAY.search(answer.text) is not None


def wait_asked(text: str) -> float | None:
    """Seconds that a greylisting peer asks for ("try again in 5 minutes"), at most 4 h."""
    match = _WAIT.search(text)
    if match is None:
        return None
    unit_s = 60.0 if match[2].lower().startswith("m") else 1.0
    return min(int(match[1]) * unit_s, _MAX_WAIT_S)


def own_words(cause: Cause, text: str, whose: Whose = Whose.BETWEEN) -> Deferred:
    """A deferral in Postern's words: no peer said it, so ``remote`` is empty."""
    return Deferred(reply(451, _STATUS.get(cause, "4.4.2"), text), cause, whose=whose)


def after_dot(failure: Deferred) -> Deferred:
    """What a loss means once the whole message was sent, and its last reply was not heard.

    The peer may have taken the message, so another try may deliver it twice: that is better than
    losing it, but neither another host nor another minute is the place for it (RFC 1047).
    """
    text = f"{failure.reply.text}, after the whole message was sent: it may have been taken"
    return own_words(Cause.LOST_AFTER_DOT, text, failure.whose)


_STATUS = {
    Cause.REFUSED: "4.4.1",
    Cause.SILENT: "4.4.1",
    Cause.TLS: "4.7.5",
    Cause.UNENCRYPTED: "4.7.10",
    Cause.PROTOCOL: "4.5.0",
    Cause.LOCKED_OUT: "4.7.0",
    Cause.LOCAL: "4.3.0",
}
"""RFC 3463 §3.5: 4.4.1 no answer from host, 4.4.2 bad connection, 4.7.5 cryptographic failure.
RFC 8689 §4.2.1: 4.7.10 encryption needed.
"""
