"""One mail transaction from the client's side: commands out, replies in, an outcome each.

Where PIPELINING is offered the whole envelope is one write, and with CHUNKING a small message
rides right behind it: one write, one round trip (RFC 2920, RFC 3030). Otherwise each command waits
for the reply before it. Either way replies are matched to commands in order, in one table.

LMTP always uses DATA: RFC 3030 does not say how many replies an LMTP server owes a BDAT whose
recipients were all refused, and on a local socket the round trip costs nothing.
"""

from enum import Enum

from postern.mail.envelope import Notify, Recipient
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import Reply, reply
from postern.mail.smtp.client_body import DotStuffer, chunk_of, data_of
from postern.mail.smtp.client_commands import can_be_written, mail_command, rcpt_command
from postern.mail.smtp.client_extensions import Extensions
from postern.mail.smtp.client_mail import Mail, unmet_need, unmet_need_of, unmet_tls
from postern.mail.smtp.client_outcomes import Peer, from_reply
from postern.mail.smtp.client_replies import RemoteProtocolError


class Verb(Enum):
    """What a reply answers; the values are the words of error texts."""

    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    END = "the end of the message"
    LONE_DOT = "the empty message"


Command = tuple[Verb, int, bytes]
"""What was asked, the recipient's number where it matters, and the octets (maybe sent before)."""


class Transaction:
    """From MAIL to the last reply.

    ``outcomes`` fill up as replies come. ``is_over``: no reply is owed any more. ``wants_content``:
    354 came and the content is to be streamed. ``answered``: the peer said something to MAIL other
    than 421, so it and no other host has had this message. ``spoils``: RSET must precede the next
    transaction; ``hangs_up``: there can be no next one. ``needs_another_host``: this one may not
    have the message, and another of the domain may. ``turned_away``: the 4xx that answered MAIL, or
    came in place of an answer; None: there was none.
    """

    __slots__ = (
        "_accepted", "_at", "_commands", "_mail", "_mail_refused", "_offered", "_peer", "_stuffer",
        "answered", "content_sent", "hangs_up", "is_over", "needs_another_host", "outcomes",
        "spoils", "turned_away", "wants_content",
    )  # fmt: skip

    def __init__(self, mail: Mail, offered: Extensions, peer: Peer) -> None:
        self._mail = mail
        self._offered = offered
        self._peer = peer
        self._commands: list[Command] = []
        self._at = 0
        self._accepted: list[int] = []
        self._mail_refused = False
        self._stuffer: DotStuffer | None = None
        self.outcomes: list[Outcome | None] = [None] * len(mail.recipients)
        self.answered = False
        self.content_sent = False
        self.hangs_up = False
        self.is_over = False
        self.needs_another_host = False
        self.spoils = False
        self.turned_away: Reply | None = None
        self.wants_content = False

    @property
    def stage(self) -> Verb:
        """What the peer owes a reply to."""
        if self.wants_content or self._at >= len(self._commands):
            return Verb.END
        return self._commands[self._at][0]

    def begin(self, *, reset: bool, chunk_limit_bytes: int) -> bytes:
        """The first octets; none when nobody can be served, and then it is over already."""
        recipients = self._object()
        if not recipients:
            self.is_over = True
            self.answered = not self.needs_another_host
            return b""
        mail, offered = self._mail, self._offered
        commands = self._commands
        if reset:
            commands.append((Verb.RSET, 0, b"RSET\r\n"))
        commands.append((Verb.MAIL, 0, mail_command(mail, offered)))
        commands.extend((Verb.RCPT, n, rcpt_command(r, offered)) for n, r in recipients)
        commands.append(self._last_of_envelope(chunk_limit_bytes))
        if not offered.pipelining:
            return commands[0][2]
        return b"".join([wire for _, _, wire in commands])

    def _object(self) -> list[tuple[int, Recipient]]:
        """Refuse what this peer cannot take; the recipients that are left."""
        mail, offered, remote = self._mail, self._offered, self._peer.remote
        objection = unmet_tls(mail, offered, self._peer)
        self.needs_another_host = objection is not None
        if objection is None:
            objection = unmet_need(mail, offered, remote)
        if objection is None and not can_be_written(mail.sender):
            objection = _unwritable("5.1.7", "sender")
        left = []
        for number, recipient in enumerate(mail.recipients):
            refused = objection or unmet_need_of(recipient, offered, remote)
            if refused is None and not can_be_written(recipient):
                refused = _unwritable("5.1.3", "recipient")
            self.outcomes[number] = refused
            if refused is None:
                left.append((number, recipient))
        return left

    def _last_of_envelope(self, chunk_limit_bytes: int) -> Command:
        if self._mail.only_asks:
            return Verb.RSET, 0, b"RSET\r\n"
        data, offered = self._mail.data, self._offered
        if data is None or self._peer.lmtp or not (offered.chunking and offered.pipelining):
            return Verb.DATA, 0, b"DATA\r\n"
        if len(data) > chunk_limit_bytes:
            return Verb.DATA, 0, b"DATA\r\n"
        self.content_sent = True
        chunk = chunk_of(data)
        return Verb.BDAT, 0, b"BDAT %d LAST\r\n%b" % (len(chunk), chunk)

    def take(self, answer: Reply, *, more: bool) -> bytes:
        """Handle the next reply; what to send for it.

        ``more``: octets beyond this reply are there already.

        Raises:
            RemoteProtocolError: the reply cannot be an answer to what was asked.
        """
        if answer.code == 421:
            return self._hang_up(answer)
        verb, number, _ = self._owed(answer)
        match verb:
            case Verb.MAIL:
                self._take_mail(answer)
            case Verb.RCPT:
                self._take_rcpt(number, answer)
            case Verb.DATA:
                return self._take_data(answer, more=more)
            case Verb.END | Verb.BDAT:
                self._take_end(number, answer)
            case Verb.RSET:
                if not answer.is_positive:
                    raise RemoteProtocolError(f"answered {answer.code} to RSET")
            case Verb.LONE_DOT:
                pass
        return self._go_on()

    def _owed(self, answer: Reply) -> Command:
        """The command this reply answers."""
        if self._at < len(self._commands):
            command = self._commands[self._at]
            self._at += 1
            if answer.code // 100 == 3 and command[0] is not Verb.DATA:
                raise RemoteProtocolError(f"answered {answer.code} to {command[0].value}")
            return command
        if answer.code < 400:
            raise RemoteProtocolError(f"answered {answer.code} before the message was sent")
        # Refused in the middle of the content. What has been sent cannot be taken back, so the
        # two sides no longer agree where they are: believe the reply, and hang up.
        self.hangs_up = True
        self._settle_accepted(answer)
        return Verb.LONE_DOT, 0, b""

    def _hang_up(self, answer: Reply) -> bytes:
        """421 answers everything that is still open (RFC 5321 §3.8)."""
        if not self.answered:
            self.turned_away = answer
        if self._at and self._commands[self._at - 1][0] is not Verb.RSET:
            self.answered = True
        self.settle(from_reply(answer, self._peer))
        self.hangs_up = True
        self.is_over = True
        self.wants_content = False
        return b""

    def settle(self, outcome: Outcome) -> None:
        """Give ``outcome`` to every recipient that has none yet."""
        self.outcomes = [known or outcome for known in self.outcomes]

    def _take_mail(self, answer: Reply) -> None:
        self.answered = True
        if not answer.is_positive:
            self._mail_refused = True
            if answer.is_transient:
                self.turned_away = answer
            outcome = from_reply(answer, self._peer)
            if self._mail.only_asks and isinstance(outcome, Refused):
                # It speaks of the sender, so of the recipient we still know nothing.
                outcome = Deferred(outcome.reply, outcome.cause, outcome.remote)
            self.settle(outcome)

    def _take_rcpt(self, number: int, answer: Reply) -> None:
        if self._mail_refused:
            return
        if answer.is_positive:
            self._accepted.append(number)
            if self._mail.only_asks:
                self.outcomes[number] = Delivered(answer, self._peer.remote)
        else:
            self.outcomes[number] = from_reply(answer, self._peer, to_rcpt=True)

    def _take_data(self, answer: Reply, *, more: bool) -> bytes:
        if answer.code != 354:
            if answer.code < 400:
                raise RemoteProtocolError(f"answered {answer.code} to DATA")
            self._settle_accepted(answer)
            return self._go_on()
        if more:
            raise RemoteProtocolError("answered the message before it was sent")
        if not self._accepted:
            return self._send_lone_dot()
        data = self._mail.data
        if data is None:
            self._stuffer = DotStuffer()
            self.wants_content = True
            return b""
        self._expect_ends()
        return data_of(data)

    def _send_lone_dot(self) -> bytes:
        """End the DATA of a transaction without recipients (RFC 2920 §3.1)."""
        if self._peer.lmtp:
            # RFC 2033 §4.2: one reply per accepted recipient, so here none would ever come.
            self.hangs_up = True
            self.is_over = True
        else:
            self._commands.append((Verb.LONE_DOT, 0, b""))
        return b".\r\n"

    def _expect_ends(self) -> None:
        """The end of data is sent: one reply, or with LMTP one for each accepted recipient."""
        self.content_sent = True
        owed = self._accepted if self._peer.lmtp else self._accepted[:1]
        self._commands.extend((Verb.END, number, b"") for number in owed)

    def content(self, chunk: bytes) -> bytes:
        """The octets to send for the next piece of streamed content."""
        return self._stuffer.feed(chunk) if self._stuffer and self.wants_content else b""

    def content_end(self) -> bytes:
        """The last octets of streamed content."""
        if self._stuffer is None or not self.wants_content:
            return b""
        self.wants_content = False
        self._expect_ends()
        return self._stuffer.finish()

    def _take_end(self, number: int, answer: Reply) -> None:
        if self._peer.lmtp:
            self.outcomes[number] = self._end_outcome(number, answer)
            return
        self._settle_accepted(answer)
        self.spoils = not answer.is_positive

    def _settle_accepted(self, answer: Reply) -> None:
        """One reply for all that were accepted and have no outcome yet."""
        for number in self._accepted:
            if self.outcomes[number] is None:
                self.outcomes[number] = self._end_outcome(number, answer)

    def _end_outcome(self, number: int, answer: Reply) -> Outcome:
        if not answer.is_positive:
            return from_reply(answer, self._peer)
        notify = self._mail.recipients[number].notify
        owes_notice = notify is not None and Notify.SUCCESS in notify
        relayed = owes_notice and not self._offered.dsn and not self._peer.lmtp
        return Delivered(answer, self._peer.remote, relayed_without_dsn=relayed)

    def _go_on(self) -> bytes:
        """After a reply: over, or with a peer that takes one command at a time the next one."""
        if self.hangs_up or self._at >= len(self._commands):
            self.is_over = True
            self.wants_content = False
            self.spoils = self.spoils or not self._commands_ended_well()
            return b""
        if self._offered.pipelining:
            return b""
        verb, _, wire = self._commands[self._at]
        if self._mail_refused or (verb is Verb.DATA and not self._accepted):
            self.is_over = True
            self.spoils = not self._mail_refused
            return b""
        return wire

    def _commands_ended_well(self) -> bool:
        """True when the peer must know by itself that the transaction is over."""
        return self._commands[-1][0] in {Verb.END, Verb.LONE_DOT, Verb.BDAT, Verb.RSET}


def _unwritable(status: str, whose: str) -> Refused:
    words = reply(553, status, f"The {whose}'s address has control characters")
    return Refused(words, Cause.LOCAL, whose=Whose.US)


def lost(transaction: Transaction, outcome: Deferred) -> None:
    """The line is gone: whoever has no outcome gets ``outcome``."""
    transaction.settle(outcome)
    transaction.hangs_up = True
    transaction.is_over = True
    transaction.wants_content = False
