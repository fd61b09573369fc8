"""The client's end of SMTP and LMTP, sans-IO: fed octets, gives octets, and an outcome each.

A machine lives as long as its connection::

    machine = ClientMachine(config)
    to_send = machine.receive(octets)      # until machine.want is Want.MAIL
    to_send = machine.start(mail)          # then receive() until it is Want.MAIL again
    machine.outcomes                       # one per recipient, in their order

Sources: RFC 5321, RFC 2033 (LMTP), 2920 (PIPELINING), 3030 (CHUNKING), 1870 (SIZE), 6152
(8BITMIME), 6531 (SMTPUTF8), 3461 (DSN), 3207 (STARTTLS), 4954 (AUTH), 2034 (enhanced codes).

What always holds, whatever the peer sends and however it is cut: no method raises, memory stays
bounded by one reply, no bare CR or LF is sent, every transaction ends with one outcome per
recipient or still waits, and nothing is ``Delivered`` without a 2xx that came after the end of the
message was sent (of a ``Mail`` that only asks: without a 2xx to RCPT).
"""

from enum import Enum

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.reply import Reply
from postern.mail.smtp.client_extensions import Extensions
from postern.mail.smtp.client_mail import Mail
from postern.mail.smtp.client_opening import ClientConfig, Opening, Stage
from postern.mail.smtp.client_outcomes import after_dot, own_words
from postern.mail.smtp.client_replies import RemoteProtocolError, ReplyReader
from postern.mail.smtp.client_transaction import Transaction, lost


class Want(Enum):
    """What the machine needs next."""

    REPLY = "reply"  # octets from the peer
    TLS = "tls"  # a handshake, then tls_started()
    CONTENT = "content"  # content() until there is no more, then content_end()
    MAIL = "mail"  # start(), or quit(); a finished transaction's outcomes are there
    CLOSE = "close"  # nothing: close the connection


class ClientMachine:
    """One connection's state.

    ``want`` is up to date after every call. ``failure`` tells why the session ended, once
    ``want`` is CLOSE; None when it ended by quit() or by a reply that ``outcomes`` tell of.
    """

    __slots__ = (
        "_config", "_in_step", "_opening", "_peer", "_reader", "_reset", "_transaction",
        "failure", "want",
    )  # fmt: skip

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._opening = Opening(config)
        self._peer = self._opening.peer
        self._reader = ReplyReader()
        self._transaction: Transaction | None = None
        self._reset = False
        self._in_step = True
        self.failure: Deferred | None = None
        self.want = Want.REPLY

    @property
    def extensions(self) -> Extensions:
        """What the peer offers, as of its last EHLO."""
        return self._opening.extensions

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One per recipient of the last transaction, in order; empty while it is not over."""
        transaction = self._transaction
        if transaction is None or not transaction.is_over:
            return ()
        return tuple(outcome for outcome in transaction.outcomes if outcome is not None)

    @property
    def answered(self) -> bool:
        """True once the peer answered the last MAIL (other than by 421).

        False with a lost connection means that no host has had the message: try the next one.
        """
        return self._transaction is not None and self._transaction.answered

    @property
    def turned_away(self) -> Reply | None:
        """The 4xx that answered the last MAIL, or came in place of an answer."""
        return None if self._transaction is None else self._transaction.turned_away

    @property
    def is_to_relay(self) -> bool:
        """True where the peer is a relay of ours."""
        return self._config.relay or self._config.login is not None

    @property
    def is_greeted(self) -> bool:
        """True once the peer greeted with 2xx."""
        return self._opening.greeted

    @property
    def opened_to(self) -> Stage:
        """How far the opening came: the stage it is at, or the one it failed at."""
        stage = self._opening.stage
        return self._opening.ended_at if stage is Stage.FAILED else stage

    @property
    def content_sent(self) -> bool:
        """True once the end of the last message was given out; only its reply is due."""
        return self._transaction is not None and self._transaction.content_sent

    @property
    def stage(self) -> str:
        """What the peer owes a reply to, in words for people."""
        transaction = self._transaction
        if transaction is not None and not transaction.is_over:
            return transaction.stage.value
        return self._opening.stage.value

    def receive(self, data: bytes) -> bytes:
        """Octets from the peer; what to send in return."""
        want = self.want
        if want is Want.CLOSE:
            return b""
        if want is Want.TLS:
            # Octets behind STARTTLS's 220 came in clear; whoever put them there wants them read
            # as if they had come under TLS (RFC 3207 §6, the injection of 2011).
            return b""
        self._reader.feed(data)
        try:
            return self._read()
        except RemoteProtocolError as error:
            self._broken(str(error))
            return b""

    def _read(self) -> bytes:
        out = b""
        reader = self._reader
        while self.want is not Want.CLOSE and (answer := reader.next_reply()) is not None:
            if out:
                # It answers what has not been sent yet: from here on no reply could be trusted.
                raise RemoteProtocolError("answered before it was asked")
            out = self._take(answer)
            if self.want is Want.TLS:
                reader.discard()
        if out and reader.has_more:
            raise RemoteProtocolError("answered before it was asked")
        return out

    def _take(self, answer: Reply) -> bytes:
        transaction = self._transaction
        if transaction is not None and not transaction.is_over:
            out = transaction.take(answer, more=self._reader.has_more)
            self._after_transaction_step(transaction)
            return out
        out = self._opening.take(answer)
        self._after_opening_step()
        return out

    def _after_transaction_step(self, transaction: Transaction) -> None:
        if transaction.wants_content:
            self.want = Want.CONTENT
        elif not transaction.is_over:
            self.want = Want.REPLY
        elif transaction.hangs_up:
            self.want = Want.CLOSE
            self._in_step = False
            self._opening.end()
        else:
            self._reset = transaction.spoils
            self.want = Want.MAIL

    def _after_opening_step(self) -> None:
        opening = self._opening
        match opening.stage:
            case Stage.HANDSHAKE:
                self.want = Want.TLS
            case Stage.OPEN:
                self._peer = opening.peer
                self.want = Want.MAIL
            case Stage.FAILED:
                self.failure = opening.failure
                self.want = Want.CLOSE
            case _:
                self.want = Want.REPLY

    def tls_started(self) -> bytes:
        """The handshake is done; what to send first under it."""
        if self.want is not Want.TLS:
            return b""
        out = self._opening.tls_started()
        self.want = Want.REPLY
        return out

    def start(self, mail: Mail) -> bytes:
        """Begin a transaction; only when ``want`` is MAIL.

        When this peer cannot take the message at all, nothing is sent, ``want`` stays MAIL and the
        outcomes are there at once.

        Raises:
            RuntimeError: the machine does not want mail now (our own mistake).
        """
        if self.want is not Want.MAIL:
            raise RuntimeError(f"a transaction cannot begin: the machine wants {self.want.value}")
        transaction = Transaction(mail, self._opening.extensions, self._peer)
        self._transaction = transaction
        if self._reader.has_more:
            self._broken("spoke when nothing was asked")
            return b""
        limit = self._config.chunk_limit_bytes
        out = transaction.begin(reset=self._reset, chunk_limit_bytes=limit)
        if not transaction.is_over:
            self.want = Want.REPLY
        return out

    def content(self, chunk: bytes) -> bytes:
        """The octets to send for the next piece of content; none when it is no longer wanted."""
        return self._transaction.content(chunk) if self._transaction else b""

    def content_end(self) -> bytes:
        """The last octets of the content; none when it is no longer wanted."""
        if self._transaction is None or self.want is not Want.CONTENT:
            return b""
        out = self._transaction.content_end()
        self.want = Want.REPLY
        return out

    def quit(self) -> bytes:
        """End the session; nothing more will be read. No QUIT where the peer is gone or astray."""
        self.want = Want.CLOSE
        return b"QUIT\r\n" if self._in_step else b""

    def lost(
        self, cause: Cause, text: str, whose: Whose = Whose.BETWEEN, *, is_unread: bool = False
    ) -> None:
        """The line is gone, or was given up: whoever has no outcome yet is deferred.

        Args:
            cause: why.
            text: one plain sentence without a full stop, such as "no answer to RCPT in 300 s".
            whose: whose side it is.
            is_unread: it is known that the peer has not got all that was sent.
        """
        self._end(own_words(cause, text, whose), is_unread=is_unread)

    def _broken(self, words: str) -> None:
        self._reader.discard()
        text = f"{self._config.remote} {words}"
        self._end(own_words(Cause.PROTOCOL, text, Whose.RECIPIENT))

    def _end(self, failure: Deferred, *, is_unread: bool = False) -> None:
        if self._transaction is not None and not self._transaction.is_over:
            # A message that rode behind MAIL may have been read by whoever never said a word. One
            # that spoke out of turn was not so far yet.
            may_be_read = failure.cause is not Cause.PROTOCOL and not is_unread
            was_read = self._transaction.answered or may_be_read
            if was_read and self._transaction.content_sent:
                failure = after_dot(failure)
            lost(self._transaction, failure)
        if self.failure is None and self.want is not Want.CLOSE:
            self.failure = failure
        self._opening.end()
        self._in_step = False
        self.want = Want.CLOSE
