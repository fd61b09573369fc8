"""From the greeting to a session that may carry mail: EHLO, STARTTLS, AUTH, as a table.

Whatever goes wrong here is the connection's fault, never a recipient's: it ends in a ``failure``
that defers, so that the next host, or another day, may do better (RFC 5321 §5.1).
"""

from dataclasses import dataclass, replace
from enum import Enum

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.reply import Reply
from postern.mail.route import TlsPolicy
from postern.mail.smtp.client_auth import AuthExchange, Login, choose
from postern.mail.smtp.client_extensions import NO_EXTENSIONS, Extensions, parse_extensions
from postern.mail.smtp.client_outcomes import Peer, own_words
from postern.mail.smtp.client_replies import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How to open a session.

    ``helo`` is our name, ``remote`` how outcomes name the peer; ``relay``: it is one of ours.
    ``login`` is used once TLS is on, or without it only where ``clear_auth`` says so.
    ``chunk_limit_bytes``: content in memory up to this goes out as one BDAT chunk where CHUNKING
    is offered.

    Raises:
        ValueError: ``helo`` is not one printable ASCII word.
    """

    helo: str
    remote: str
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    lmtp: bool = False
    login: Login | None = None
    clear_auth: bool = False
    relay: bool = False
    chunk_limit_bytes: int = 65536

    def __post_init__(self) -> None:
        if not (self.helo.isascii() and self.helo.isprintable()) or " " in self.helo:
            raise ValueError(f"HELO name {self.helo!r} is not one printable ASCII word")
        if not self.helo:
            raise ValueError("HELO name is empty")


class Stage(Enum):
    """What the peer owes a reply to; the values are the words of error texts."""

    GREETING = "the greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "the TLS handshake"
    AUTH = "AUTH"
    OPEN = "nothing"
    FAILED = "QUIT"


_VERIFIED = frozenset({TlsPolicy.VERIFY, TlsPolicy.DANE})


class Opening:
    """The steps before the first MAIL. Only replies move it; ``stage`` says where it stands.

    ``greeted``: the peer said 2xx; ``ended_at``: the stage it failed at, or the one it is at.
    """

    __slots__ = (
        "_auth", "_config", "_encrypted", "_try_tls", "ended_at", "extensions", "failure",
        "greeted", "stage",
    )  # fmt: skip

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._auth: AuthExchange | None = None
        self._encrypted = False
        self._try_tls = config.tls is not TlsPolicy.NEVER
        self.extensions: Extensions = NO_EXTENSIONS
        self.failure: Deferred | None = None
        self.greeted = False
        self.stage = Stage.GREETING
        self.ended_at = Stage.GREETING

    @property
    def peer(self) -> Peer:
        """The peer as outcomes see it."""
        config = self._config
        return Peer(
            config.remote,
            config.lmtp,
            config.login is not None,
            self._encrypted,
            relay=config.relay,
            verified=self._encrypted and config.tls in _VERIFIED,
        )

    def take(self, answer: Reply) -> bytes:
        """Handle the next reply; what to send for it.

        Raises:
            RemoteProtocolError: the reply cannot be an answer to what was asked.
        """
        if answer.code == 421:
            return self._fail_with(answer)
        if answer.code // 100 == 3 and self.stage is not Stage.AUTH:
            raise RemoteProtocolError(f"answered {answer.code} to {self.stage.value}")
        match self.stage:
            case Stage.GREETING:
                return self._take_greeting(answer)
            case Stage.EHLO:
                return self._take_ehlo(answer)
            case Stage.HELO:
                return self._after_hello() if answer.is_positive else self._fail_with(answer)
            case Stage.STARTTLS:
                return self._take_starttls(answer)
            case Stage.AUTH:
                return self._take_auth(answer)
            case Stage.HANDSHAKE | Stage.OPEN | Stage.FAILED:
                raise RemoteProtocolError(f"said {answer.code} when nothing was asked")

    def tls_started(self) -> bytes:
        """TLS is on: what was learned in clear is forgotten (RFC 3207 §4.2), and EHLO again."""
        self._encrypted = True
        self.extensions = NO_EXTENSIONS
        return self._hello()

    def fail(self, failure: Deferred) -> bytes:
        """End it."""
        self.failure = failure
        self.end()
        return b""

    def end(self) -> None:
        """No further step is taken."""
        if self.stage is not Stage.FAILED:
            self.ended_at = self.stage
            self.stage = Stage.FAILED

    def _fail_with(self, answer: Reply, cause: Cause = Cause.REPLY) -> bytes:
        ours = cause is Cause.LOCKED_OUT
        whose = Whose.US if ours else Whose.RECIPIENT
        return self.fail(Deferred(answer, cause, self._config.remote, whose))

    def _take_greeting(self, answer: Reply) -> bytes:
        if not answer.is_positive:
            return self._fail_with(answer)
        self.greeted = True
        return self._hello()

    def _hello(self) -> bytes:
        self.stage = Stage.EHLO
        verb = "LHLO" if self._config.lmtp else "EHLO"
        return f"{verb} {self._config.helo}\r\n".encode("ascii")

    def _take_ehlo(self, answer: Reply) -> bytes:
        if answer.is_positive:
            offered = parse_extensions(answer)
            if offered.requiretls and not self._encrypted:
                offered = replace(offered, requiretls=False)
            self.extensions = offered
            return self._after_hello()
        if answer.is_permanent and not self._config.lmtp and not self._encrypted:
            self.stage = Stage.HELO  # RFC 5321 §3.2: an old server
            return f"HELO {self._config.helo}\r\n".encode("ascii")
        return self._fail_with(answer)

    def _after_hello(self) -> bytes:
        if self._try_tls and not self._encrypted and self.extensions.starttls:
            self.stage = Stage.STARTTLS
            return b"STARTTLS\r\n"
        if self._needs_tls and not self._encrypted:
            words = "does not offer STARTTLS, and the mail must be encrypted"
            return self._fail(Cause.UNENCRYPTED, words)
        return self._authenticate()

    @property
    def _needs_tls(self) -> bool:
        return self._config.tls in {TlsPolicy.ENCRYPT, TlsPolicy.VERIFY, TlsPolicy.DANE}

    def _take_starttls(self, answer: Reply) -> bytes:
        if answer.code == 220:
            self.stage = Stage.HANDSHAKE
            return b""
        if answer.is_positive:
            raise RemoteProtocolError(f"answered {answer.code} to STARTTLS")
        # 454 and its kin: another address may do better before anything goes in clear.
        return self._fail_with(answer, Cause.TLS)

    def _authenticate(self) -> bytes:
        login = self._config.login
        if login is None:
            self.stage = Stage.OPEN
            return b""
        if not self._encrypted and not self._config.clear_auth:
            return self._fail(Cause.TLS, "offers no TLS, and the password is not sent in clear")
        self.stage = Stage.AUTH
        self._auth = choose(login, self.extensions.auth)
        if self._auth is None:
            return self._fail(
                Cause.LOCKED_OUT, "offers no way to log in that we know (auth)", Whose.US
            )
        return self._auth.begin()

    def _take_auth(self, answer: Reply) -> bytes:
        if answer.code == 334 and self._auth is not None:
            return self._auth.answer(answer)
        self._auth = None
        if answer.is_positive:
            self.stage = Stage.OPEN
            return b""
        if answer.code < 400:
            raise RemoteProtocolError(f"answered {answer.code} to AUTH")
        return self._fail_with(answer, Cause.LOCKED_OUT)

    def _fail(self, cause: Cause, words: str, whose: Whose = Whose.BETWEEN) -> bytes:
        return self.fail(own_words(cause, f"{self._config.remote} {words}", whose))
