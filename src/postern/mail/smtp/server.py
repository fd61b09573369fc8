"""The server machine: an SMTP conversation without a network (RFC 5321, seen from the server).

1. The session feeds what arrives into ``receive`` and asks ``next_event`` until it says None.
2. Most events only tell. An *asks* event waits: the session calls ``reply``, then goes on asking.
3. Whatever ``take_output`` gives goes to the client; when ``closing`` is set, close after that.

Syntax, order, limits and smuggling are dealt with in here, and told as ``Violation`` or
``BodyFailed``. Which command is allowed when is in ``order``, what is said in ``replies``.
"""

from collections.abc import Callable, Mapping, Sequence

from postern.mail.reply import Reply
from postern.mail.smtp import replies
from postern.mail.smtp.auth import MECHANISMS, AuthExchange
from postern.mail.smtp.command import parse_hello, parse_text
from postern.mail.smtp.events import Event, Hello, Quit, StartTls, Verify
from postern.mail.smtp.lines import LineFault
from postern.mail.smtp.order import IN_TRANSACTION, ORDER, Ask, Mode, Phase
from postern.mail.smtp.settings import MAX_AUTH_BYTES, MAX_COMMAND_BYTES, ServerSettings
from postern.mail.smtp.transaction import RESET, Transaction
from postern.mail.smtp.transcript import MASK, MAX_TEXT_BYTES, without_secrets
from postern.mail.smtp.wire import GO_ON, LocalProtocolError, Outcome

__all__ = ["LocalProtocolError", "ServerMachine", "ServerSettings"]

_HTTP = frozenset(
    {
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"DELETE",
        b"CONNECT",
        b"OPTIONS",
        b"TRACE",
        b"PATCH",
        b"PRI",
    }
)


class ServerMachine(Transaction):
    """One connection, seen from the server.

    Attributes:
        tls_active: the connection is encrypted; set at birth where TLS comes first (port 465).
        authenticated_as: the user name that a positive answer to ``Credentials`` confirmed; the
            session may put the account's own name there.
        helo: the client's name for itself, empty before HELO or EHLO.
        extended: it said EHLO.
    """

    __slots__ = (
        "_exchange",
        "_login",
        "_secrets_may_follow",
        "authenticated_as",
        "extended",
        "helo",
    )

    def __init__(self, settings: ServerSettings, *, tls_active: bool = False) -> None:
        super().__init__(settings, tls_active=tls_active)
        self.authenticated_as: str | None = None
        self.helo = ""
        self.extended = False
        self._exchange: AuthExchange | None = None
        self._login = ""
        self._secrets_may_follow = False

    # What the session calls

    def greet(self, now: float) -> None:
        """Opens the conversation with 220."""
        self._open(now)
        self._send(self.settings.greeting)

    def greet_with(self, reply: Reply, now: float) -> None:
        """Opens it with another reply: after 421 it is over, after 554 only QUIT is left."""
        self._open(now)
        self._say(reply)
        if reply.code == 421:
            self._hang_up()
        elif reply.code >= 400:
            self._phase = Phase.REFUSED

    def next_event(self) -> Event | None:
        """What happened next; None: more bytes are needed, or an *asks* event is unanswered."""
        event = self._queued
        if event is not None:
            self._queued = None
            return event
        while not (self._asked or self.closing):
            if self._deaf:
                return self._refuse(replies.BACKLOG, hopeless=True) if self._flooded else None
            mode = self._mode
            if mode <= Mode.LOGIN and not self._input.unread:
                return None
            outcome = _READERS[mode](self)
            if outcome is not GO_ON:
                return outcome
        return None

    def reply(self, reply: Reply, now: float, for_each: Sequence[Reply] = ()) -> None:
        """Answers the *asks* event that was handed out last; 421 also ends the connection.

        A negative answer to ``MailFrom`` or ``DataStart``, and any answer to ``BodyEnd``, ends the
        transaction.

        Args:
            reply: the answer; after a message the one about the message itself.
            now: as in ``receive``.
            for_each: after a message whose MAIL asked for PRDR: an answer for each recipient that
                was accepted, in the order of RCPT. None: ``reply`` is for all of them.

        Raises:
            LocalProtocolError: nothing was asked, or not for each recipient.
        """
        if self._queued is not None:
            raise LocalProtocolError("a reply was given before the question was heard")
        self._now = now
        if for_each:
            self._say_for_each(for_each)
        asked, self._asked = self._asked, Ask.NOTHING
        _ANSWERED[asked](self, reply)
        if reply.code == 421:
            self._hang_up()

    def tls_started(self) -> None:
        """The connection is encrypted now: forgets all that was said before (RFC 3207 §4.2)."""
        self._input.clear()
        self._end_transaction()
        self._deaf = False
        self.tls_active = True
        self.authenticated_as = None
        self.helo = ""
        self.extended = False
        self._phase = Phase.OPENED
        self._mode = Mode.COMMAND

    @property
    def awaits_answer(self) -> bool:
        """True while an *asks* event is unanswered: stop reading from the network."""
        return self._asked is not Ask.NOTHING

    @property
    def talked_early(self) -> bool:
        """True when the client spoke before its greeting (RFC 5321 §4.3.1)."""
        return self._mode is Mode.NOTHING and self._input.unread > 0

    @property
    def with_keyword(self) -> str:
        """Received's ``with``: SMTP, ESMTPS, UTF8SMTPSA … (RFC 3848, RFC 6531 §4.3)."""
        if not self.extended:
            return "SMTP"
        kind = "UTF8SMTP" if self._smtputf8 else "ESMTP"
        return f"{kind}{'S' * self.tls_active}{'A' * (self.authenticated_as is not None)}"

    # Reading commands

    def _open(self, now: float) -> None:
        self._now = self.dialogue.start = now
        self._mode = Mode.COMMAND

    def _read_nothing(self) -> Outcome:
        """Before the greeting, what a client says is kept unread."""
        return None

    def _nothing_answered(self, _reply: Reply) -> None:
        raise LocalProtocolError("a reply was given but nothing was asked")

    def _read_command(self) -> Outcome:
        line = self._input.line(MAX_COMMAND_BYTES)
        if line is None:
            return None
        if isinstance(line, LineFault):
            return self._refuse_line(line, replies.LINE_TOO_LONG)
        word, _, argument = line.partition(b" ")
        verb = word.upper()
        order = ORDER.get(verb)
        if order is None or verb == b"AUTH":
            line = self._without_secrets(line, verb)
        self.dialogue.add(self._now, "C", line[:MAX_TEXT_BYTES])
        self._commands += 1
        if self._commands > self.settings.max_commands:
            return self._refuse(replies.TOO_MANY_COMMANDS, hopeless=True)
        if order is None:
            return self._unknown(verb)
        refusal = order[self._phase]
        if refusal is not None:
            return self._out_of_order(verb, argument, refusal)
        return _VERBS[verb](self, argument)

    def _without_secrets(self, line: bytes, verb: bytes) -> bytes:
        """How an AUTH or unknown line stands in the transcript."""
        if verb != b"AUTH" and self._secrets_may_follow:
            return MASK
        return without_secrets(line)

    def _unknown(self, verb: bytes) -> Outcome:
        if verb[:1] == b"\x16":
            return self._refuse_line(LineFault.TLS, replies.LINE_TOO_LONG)
        if verb in _HTTP:
            return self._refuse(replies.NOT_SMTP, hopeless=True)
        return self._refuse(replies.UNKNOWN)

    def _out_of_order(self, verb: bytes, argument: bytes, refusal: Reply) -> Outcome:
        if self._tried and self._phase is Phase.MAIL and verb in {b"DATA", b"BDAT"}:
            refusal = replies.NO_RECIPIENTS
        return self._skip_chunk(argument, refusal) if verb == b"BDAT" else self._refuse(refusal)

    # Greeting and leaving

    def _ehlo(self, argument: bytes) -> Outcome:
        return self._introduced(argument, extended=True)

    def _helo(self, argument: bytes) -> Outcome:
        return self._introduced(argument, extended=False)

    def _introduced(self, argument: bytes, *, extended: bool) -> Outcome:
        name = parse_hello(argument)
        if isinstance(name, Reply):
            return self._refuse(name)
        settings = self.settings
        self.helo = name
        self.extended = extended
        authenticated = self.authenticated_as is not None
        self._send(
            settings.ehlo(tls=self.tls_active, authenticated=authenticated)
            if extended
            else settings.helo
        )
        hello = Hello(name, extended)
        if self._phase in IN_TRANSACTION:
            self._end_transaction()
            self._queued = hello
            return RESET
        self._phase = Phase.READY
        return hello

    # Encryption and login

    def _starttls(self, argument: bytes) -> Outcome:
        if self.tls_active:
            return self._refuse(replies.TLS_ACTIVE)
        if not self.settings.offer_starttls:
            return self._refuse(replies.NO_STARTTLS)
        if argument.strip(b" "):
            return self._refuse(replies.NO_ARGUMENT)
        # Whatever was sent behind STARTTLS was sent in the clear, perhaps by somebody in between
        # who wants it taken for the client's own words under TLS (RFC 3207 §5).
        self._input.clear()
        self._deaf = True
        self._asked = Ask.STARTTLS
        start = StartTls()
        if self._phase not in IN_TRANSACTION:
            return start
        self._end_transaction()
        self._queued = start
        return RESET

    def _starttls_answered(self, reply: Reply) -> None:
        self._say(reply)
        self._deaf = reply.code < 400

    def _auth(self, argument: bytes) -> Outcome:
        word, _, initial = argument.strip(b" ").partition(b" ")
        mechanism = word.upper()
        refusal = self._auth_refusal(mechanism)
        if refusal is not None:
            self._secrets_may_follow = True
            return self._refuse(refusal)
        self._exchange = exchange = AuthExchange(mechanism)
        if initial:
            initial = initial.lstrip(b" ")
            return self._auth_step(exchange, b"" if initial == b"=" else initial)
        return self._ask_for_login(exchange)

    def _auth_refusal(self, mechanism: bytes) -> Reply | None:
        if not self.settings.offer_auth:
            return replies.AUTH_NOT_OFFERED
        if not self.tls_active:
            return replies.AUTH_NEEDS_TLS
        if self.authenticated_as is not None:
            return replies.AUTH_TWICE
        if not mechanism:
            return replies.AUTH_SYNTAX
        return None if mechanism in MECHANISMS else replies.AUTH_MECHANISM

    def _ask_for_login(self, exchange: AuthExchange) -> Outcome:
        self._say(exchange.prompt)
        self._mode = Mode.LOGIN
        return GO_ON

    def _read_login(self) -> Outcome:
        line = self._input.line(MAX_AUTH_BYTES)
        if line is None:
            return None
        if isinstance(line, LineFault):
            self._mode = Mode.COMMAND
            self._secrets_may_follow = True
            return self._refuse_line(line, replies.AUTH_TOO_LONG)
        self.dialogue.add(self._now, "C", MASK)
        assert self._exchange is not None
        return self._auth_step(self._exchange, line)

    def _auth_step(self, exchange: AuthExchange, response: bytes) -> Outcome:
        result = exchange.respond(response)
        if result is None:
            return self._ask_for_login(exchange)
        self._mode = Mode.COMMAND
        if isinstance(result, Reply):
            self._secrets_may_follow = True
            return self._refuse(result)
        self._login = result.username
        self._asked = Ask.AUTH
        return result

    def _auth_answered(self, reply: Reply) -> None:
        self._say(reply)
        if reply.is_positive and self.authenticated_as is None:
            self.authenticated_as = self._login
        self._exchange = None

    # The rest

    def _vrfy(self, argument: bytes) -> Outcome:
        text = parse_text(argument)
        if text is None:
            return self._refuse(replies.NEEDS_ARGUMENT)
        self._asked = Ask.VRFY
        return Verify(text)

    def _vrfy_answered(self, reply: Reply) -> None:
        self._say(reply)

    def _expn(self, _argument: bytes) -> Outcome:
        return self._refuse(replies.NOT_SUPPORTED)

    def _noop(self, _argument: bytes) -> Outcome:
        self._say(replies.OK)
        return GO_ON

    def _help(self, _argument: bytes) -> Outcome:
        self._say(replies.HELP)
        return GO_ON

    def _quit(self, argument: bytes) -> Outcome:
        if argument.strip(b" "):
            return self._refuse(replies.NO_ARGUMENT)
        self._say(replies.GOODBYE)
        self._hang_up()
        return Quit()


# Methods are found by what they are named after, so that every verb of ORDER, every mode and every
# question has one or the import fails. A machine keeps only the enum: one that kept a bound method
# would refer to itself and wait for the garbage collector, and there are thousands of machines.

_VERBS: Mapping[bytes, Callable[[ServerMachine, bytes], Outcome]] = {
    verb: getattr(ServerMachine, f"_{verb.decode().lower()}") for verb in ORDER
}
_READERS: tuple[Callable[[ServerMachine], Outcome], ...] = tuple(
    getattr(ServerMachine, f"_read_{mode.name.lower()}") for mode in Mode
)
_ANSWERED: tuple[Callable[[ServerMachine, Reply], None], ...] = tuple(
    getattr(ServerMachine, f"_{ask.name.lower()}_answered") for ask in Ask
)
