"""The half of the server machine that takes a message: MAIL, RCPT, DATA, BDAT, RSET.

An answer for each recipient (PRDR) is as in draft-hall-prdr, and as Exim has it on both sides.
"""

from collections.abc import Sequence

from postern.mail.reply import Reply
from postern.mail.smtp import replies
from postern.mail.smtp.command import Chunk, parse_bdat, parse_mail, parse_rcpt
from postern.mail.smtp.events import (
    BodyData,
    BodyEnd,
    BodyFailed,
    DataStart,
    Event,
    MailFrom,
    RcptTo,
    Reset,
)
from postern.mail.smtp.intake import BodyFailure, ChunkIntake, DataIntake
from postern.mail.smtp.order import IN_TRANSACTION, Ask, Mode, Phase
from postern.mail.smtp.settings import ServerSettings
from postern.mail.smtp.wire import GO_ON, LocalProtocolError, Outcome, Wire

RESET = Reset()
_DATA_START = DataStart(chunking=False)
_CHUNKS_START = DataStart(chunking=True)
_NO_CHUNK = Chunk(0, last=False)
_GO_AHEAD = replies.GO_AHEAD.encode()


class Transaction(Wire):
    """From MAIL to the answer after the last octet; the state that belongs to one message."""

    __slots__ = (
        "_accepted",
        "_asked",
        "_chunk",
        "_commands",
        "_intake",
        "_mails",
        "_mode",
        "_phase",
        "_prdr",
        "_skip_bytes",
        "_skip_refusal",
        "_smtputf8",
        "_tried",
        "tls_active",
    )

    def __init__(self, settings: ServerSettings, *, tls_active: bool) -> None:
        super().__init__(settings)
        self.tls_active = tls_active
        self._phase = Phase.OPENED
        self._mode = Mode.NOTHING
        self._asked = Ask.NOTHING
        self._commands = 0  # since the last message that was accepted
        self._mails = 0
        self._tried = 0  # recipients of this transaction
        self._accepted = 0
        self._smtputf8 = False
        self._prdr = False
        self._intake: DataIntake | ChunkIntake | None = None
        self._chunk = _NO_CHUNK
        self._skip_bytes = 0
        self._skip_refusal: Reply | None = None

    def _end_transaction(self) -> None:
        self._phase = Phase.READY
        self._mode = Mode.COMMAND
        self._accepted = self._tried = 0
        self._smtputf8 = self._prdr = False
        self._intake = None

    # A message's envelope

    def _mail(self, argument: bytes) -> Outcome:
        settings = self.settings
        if self._mails >= settings.max_mails:
            return self._refuse(replies.TOO_MANY_MAILS, hopeless=True)
        sender = parse_mail(argument, settings, tls=self.tls_active)
        if isinstance(sender, Reply):
            return self._refuse(sender)
        size, limit = sender.size_bytes, settings.max_message_bytes
        if size is not None and size > limit:
            text = replies.TOO_BIG_DECLARED.format(size=size, limit=limit)
            return self._refuse(Reply(552, "5.3.4", (text,)), "size.too-big", counts=False)
        self._smtputf8 = sender.smtputf8
        self._prdr = sender.prdr
        self._asked = Ask.MAIL
        return MailFrom(sender)

    def _mail_answered(self, reply: Reply) -> None:
        self._say(reply)
        if reply.code < 400:
            self._phase = Phase.MAIL
            self._mails += 1
        else:
            self._end_transaction()

    def _rcpt(self, argument: bytes) -> Outcome:
        recipient = parse_rcpt(argument, smtputf8=self._smtputf8)
        self._tried += 1
        if isinstance(recipient, Reply):
            return self._refuse(recipient)
        if self._accepted >= self.settings.max_recipients:
            return self._refuse(replies.TOO_MANY_RECIPIENTS, counts=False)
        self._asked = Ask.RCPT
        return RcptTo(recipient)

    def _rcpt_answered(self, reply: Reply) -> None:
        self._say(reply)
        if reply.code < 400:
            self._phase = Phase.RCPT
            self._accepted += 1

    def _rset(self, argument: bytes) -> Outcome:
        if argument.strip(b" "):
            return self._refuse(replies.NO_ARGUMENT)
        self._say(replies.RESET)
        if self._phase not in IN_TRANSACTION:
            return GO_ON
        self._end_transaction()
        return RESET

    # A message's body

    def _data(self, argument: bytes) -> Outcome:
        if argument.strip(b" "):
            return self._refuse(replies.NO_ARGUMENT)
        self._asked = Ask.DATA
        return _DATA_START

    def _data_answered(self, reply: Reply) -> None:
        if reply.code < 400:
            self._send(_GO_AHEAD)
            self._intake = DataIntake(self.settings)
            self._mode = Mode.DATA
        else:
            self._say(reply)
            self._end_transaction()

    def _bdat(self, argument: bytes) -> Outcome:
        chunk = parse_bdat(argument)
        if chunk is None or not self.settings.chunking:
            return self._skip_chunk(argument, replies.NO_CHUNKING)
        self._chunk = chunk
        if self._phase is Phase.RCPT:
            self._asked = Ask.CHUNKS
            return _CHUNKS_START
        self._open_chunk(chunk)
        return GO_ON

    def _chunks_answered(self, reply: Reply) -> None:
        if reply.code < 400:
            self._phase = Phase.CHUNKS
            self._intake = ChunkIntake(self.settings)
            self._open_chunk(self._chunk)
            return
        self._say(reply)
        self._end_transaction()
        self._skip(self._chunk, None)

    def _open_chunk(self, chunk: Chunk) -> None:
        assert isinstance(self._intake, ChunkIntake)
        self._intake.begin(chunk)
        self._mode = Mode.CHUNK

    def _read_chunk(self) -> Outcome:
        return self._read_data()

    def _read_data(self) -> Outcome:
        """The next piece of a message, by whichever way it comes."""
        intake = self._intake
        assert intake is not None
        body = intake.read(self._input)
        if body is None:
            return None
        end: Event | None = None
        if intake.failure is not None:
            end = self._body_failed(intake.failure)
        elif intake.ended:
            self._asked = Ask.BODY
            end = BodyEnd(intake.size_bytes)
            self.dialogue.add(self._now, "C", b"[%d bytes of message]" % intake.size_bytes)
        elif isinstance(intake, ChunkIntake) and intake.chunk_done:
            size = self._chunk.size_bytes
            self._say(Reply(250, "2.0.0", (replies.CHUNK_RECEIVED.format(size=size),)))
            self._mode = Mode.COMMAND
        if not body:
            return end or GO_ON
        self._queued = end
        return BodyData(body)

    def _body_failed(self, failure: BodyFailure) -> BodyFailed:
        self._say(failure.reply)
        self._end_transaction()
        if failure.hopeless:
            self._hang_up()
        return BodyFailed(failure.check, failure.reply.text)

    def _body_answered(self, reply: Reply) -> None:
        self._say(reply, with_trace=True)
        self._end_transaction()
        if reply.code < 400:
            self._commands = 0

    def _say_for_each(self, answers: Sequence[Reply]) -> None:
        """What goes in front of the answer to the message itself, in the order of RCPT.

        A server that has the same to say to all leaves it out, and clients are prepared for that.
        """
        if self._asked is not Ask.BODY or not self._prdr or len(answers) != self._accepted:
            raise LocalProtocolError("answers for each recipient were given and not asked for")
        self._say(replies.FOR_EACH)
        for answer in answers:
            self._say(answer)

    def _skip_chunk(self, argument: bytes, refusal: Reply) -> Outcome:
        """Refuses a BDAT, and swallows what it brings: content must never be read as commands."""
        chunk = parse_bdat(argument)
        if chunk is None:
            return self._refuse(replies.BDAT_SYNTAX, hopeless=True)
        if chunk.size_bytes > 2 * self.settings.max_message_bytes:
            return self._refuse(refusal, hopeless=True)
        self._skip(chunk, refusal)
        return GO_ON

    def _skip(self, chunk: Chunk, refusal: Reply | None) -> None:
        self._skip_bytes = chunk.size_bytes
        self._skip_refusal = refusal
        self._mode = Mode.SKIP

    def _read_skip(self) -> Outcome:
        data = self._input.take(self._skip_bytes)
        self._skip_bytes -= len(data)
        if self._skip_bytes:
            return None
        self._mode = Mode.COMMAND
        return GO_ON if self._skip_refusal is None else self._refuse(self._skip_refusal)
