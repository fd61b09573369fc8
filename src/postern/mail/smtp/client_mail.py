"""A message as the client machine takes it, and what it needs of a peer.

Content is never re-serialised here, so nothing can be downgraded on the way:

- SMTPUTF8 addresses or headers need SMTPUTF8 (RFC 6531 §3.2): 5.6.7 where it is not offered.
- Content that was *declared* 8BITMIME and really has octets above 127 needs 8BITMIME
  (RFC 6152 §3): 5.6.3 where it is not offered.
- Content with such octets that nobody declared goes out as it came, as Exim and qmail do: the
  peers without 8BITMIME that mangle it are fewer than the senders that never declare it.
- A peer whose SIZE is too small gets nothing (RFC 1870 §6.1): 5.3.4.
- What was handed in with REQUIRETLS goes to servers that are known for certain and promise the same
  (RFC 8689 §4.2.1): 5.7.30 where one does not, and another host may.
"""

from dataclasses import dataclass

from postern.mail.envelope import BodyType, Recipient, Sender
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Refused
from postern.mail.reply import reply
from postern.mail.smtp.client_extensions import Extensions
from postern.mail.smtp.client_outcomes import Peer


@dataclass(frozen=True, slots=True)
class Octets:
    """Where octets above 127 are found in a message."""

    in_header: bool
    in_body: bool


class OctetScan:
    """Finds octets above 127 in content that comes in pieces."""

    __slots__ = ("_header_tail", "_in_body", "_in_header", "_past_header")

    def __init__(self) -> None:
        self._header_tail = b""
        self._past_header = False
        self._in_header = False
        self._in_body = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next piece."""
        if self._past_header:
            self._in_body = self._in_body or not chunk.isascii()
            return
        seen = self._header_tail + chunk
        end = seen.find(b"\r\n\r\n")
        header = seen if end < 0 else seen[:end]
        self._in_header = self._in_header or not header.isascii()
        if end >= 0:
            self._past_header = True
            self._in_body = not seen[end:].isascii()
        else:
            self._header_tail = seen[-3:]

    @property
    def found(self) -> Octets:
        """What was found so far."""
        return Octets(self._in_header, self._in_body)


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction's envelope and content.

    ``data`` is all of the content, or None when it will be streamed. ``octets`` is what a scan of
    streamed content found; None: not looked, and where it matters the worst is assumed.
    ``only_asks``: nothing is sent but the envelope, then RSET; a recipient's outcome is the reply
    to its RCPT, and ``Delivered`` means no more than that the peer would take mail for it.
    """

    sender: Sender
    recipients: tuple[Recipient, ...]
    size_bytes: int
    data: bytes | None
    octets: Octets | None = None
    only_asks: bool = False

    def look(self) -> Octets:
        """Where octets above 127 are, as far as is known."""
        if self.octets is not None:
            return self.octets
        if self.data is None:
            return Octets(in_header=True, in_body=True)
        scan = OctetScan()
        scan.feed(self.data)
        return scan.found


def must_scan(mail: Mail, offered: Extensions) -> bool:
    """True when only a look at streamed content can tell whether this peer may have it."""
    if mail.data is not None or mail.octets is not None:
        return False
    eight_bit = mail.sender.body is BodyType.EIGHT_BIT and not offered.eight_bit
    return eight_bit or (mail.sender.smtputf8 and not offered.smtputf8)


def unmet_need(mail: Mail, offered: Extensions, remote: str) -> Refused | None:
    """Why this peer cannot have the message at all, or None."""
    limit = offered.size_limit_bytes
    if limit is not None and mail.size_bytes > limit:
        text = f"The message has {mail.size_bytes} bytes and {remote} takes at most {limit}"
        return Refused(reply(552, "5.3.4", text), Cause.NEEDS, whose=Whose.SENDER)
    sender = mail.sender
    if not offered.smtputf8 and (
        not is_ascii(sender) or (sender.smtputf8 and mail.look().in_header)
    ):
        text = f"The sender or a header needs SMTPUTF8, which {remote} does not offer"
        return Refused(reply(553, "5.6.7", text), Cause.NEEDS)
    if sender.body is BodyType.EIGHT_BIT and not offered.eight_bit:
        octets = mail.look()
        if octets.in_body or octets.in_header:
            text = f"The message is declared 8BITMIME, which {remote} does not offer"
            return Refused(reply(554, "5.6.3", text), Cause.NEEDS)
    return None


def unmet_tls(mail: Mail, offered: Extensions, peer: Peer) -> Refused | None:
    """Why this peer may not have a message that requires TLS on all its way, or None.

    A notice goes on without a promise rather than being lost (RFC 8689 §5); whoever puts mail into
    mailboxes, spoken to by LMTP, is the end of the way (RFC 8689 §4.3).
    """
    sender = mail.sender
    if not sender.requiretls or sender.address is None or peer.lmtp:
        return None
    if not peer.verified:
        text = f"The message requires TLS (REQUIRETLS), and {peer.remote} could not be verified"
        return Refused(reply(550, "5.7.10", text), Cause.UNENCRYPTED)
    if not offered.requiretls:
        text = f"The message requires TLS (REQUIRETLS), which {peer.remote} does not offer"
        return Refused(reply(550, "5.7.30", text), Cause.UNENCRYPTED)
    return None


def unmet_need_of(recipient: Recipient, offered: Extensions, remote: str) -> Refused | None:
    """Why this peer cannot have the message for one recipient, or None."""
    if offered.smtputf8 or is_ascii(recipient):
        return None
    text = f"The address needs SMTPUTF8, which {remote} does not offer"
    return Refused(reply(553, "5.6.7", text), Cause.NEEDS)


def is_ascii(party: Sender | Recipient) -> bool:
    """True when the address can be written without SMTPUTF8 (domains are A-labels already)."""
    return party.address is None or party.address.local.isascii()
