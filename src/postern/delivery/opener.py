"""Opens a connection to one place and brings it to where it can carry mail."""

import asyncio
from dataclasses import dataclass, replace

from postern.delivery.failure import not_connected
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tls import TlsContexts
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.route import TlsDemand, TlsPolicy
from postern.mail.smtp.client import ClientMachine
from postern.mail.smtp.client_opening import ClientConfig, Stage
from postern.mail.smtp.client_outcomes import own_words
from postern.mail.tlsrpt import DANE_SOURCE, STS_SOURCE, TlsResult
from postern.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: a unix socket's ``path``, or ``ip`` and ``port``.

    ``host`` is the name for SNI and VERIFY; ``source_ip`` the local address, used where it is of
    the same family.
    """

    host: str = ""
    ip: str = ""
    port: int = 0
    path: str = ""
    source_ip: str | None = None

    @property
    def local(self) -> tuple[str, int] | None:
        """The local address to bind, or None for any."""
        if self.source_ip is None or (":" in self.source_ip) != (":" in self.ip):
            return None
        return self.source_ip, 0


@dataclass(frozen=True, slots=True)
class NotOpened:
    """No session: why, the TLS it had come to, and what reports call it where TLS was why."""

    failure: Deferred
    tls: str = ""
    tls_result: TlsResult | None = None


class Opener:
    """Knows the limits and the TLS contexts that every connection shares."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._contexts = TlsContexts(clock, settings.ca_file)

    def begin(self, config: ClientConfig) -> SmtpConnection:
        """A connection that is not open yet; give it to the pool's ``watch``, then ``open`` it."""
        return SmtpConnection(ClientMachine(config), config.remote, self._settings, self._clock)

    async def open(
        self, connection: SmtpConnection, place: Place, tls: TlsDemand
    ) -> NotOpened | None:
        """Connect and go through greeting, EHLO, STARTTLS and AUTH; None when it can carry mail.

        ``connection.tls_result`` then tells what reports call its TLS; None: all is well.
        """
        try:
            failure = await self._connect(connection, place)
            if failure is not None:
                connection.abandon()
                return NotOpened(failure)
            is_wanted = tls.policy is not TlsPolicy.NEVER
            if is_wanted and not self._contexts.is_ready(tls):
                await asyncio.to_thread(self._contexts.prepare, tls)
            handshake = self._contexts.handshake(tls, place.host) if is_wanted else None
            if await connection.wait_ready(handshake):
                connection.tls_result = _result(connection, tls)
                return None
        except OSError as error:  # the authorities' file cannot be read
            connection.close()
            words = f"TLS cannot be used here: {error.strerror or error}"
            return NotOpened(own_words(Cause.LOCAL, words, Whose.US))
        except BaseException:
            connection.abort()
            connection.abandon()
            raise
        failure = connection.machine.failure
        connection.close()
        if failure is None:
            return NotOpened(own_words(Cause.CLOSED, "The session ended"), connection.tls)
        result = connection.tls_result or _result_of_stage(connection, failure)
        if result is not None:
            failure = _with_demand(failure, tls)
        return NotOpened(failure, connection.tls, result)

    async def _connect(self, connection: SmtpConnection, place: Place) -> Deferred | None:
        loop = asyncio.get_running_loop()
        try:
            async with connection.limit(self._settings.connect_timeout_s):
                if place.path:
                    await loop.create_unix_connection(lambda: connection, place.path)
                else:
                    await loop.create_connection(
                        lambda: connection, place.ip, place.port, local_addr=place.local
                    )
        except OSError as error:
            # Given up by us, it has its reason already.
            return connection.machine.failure or not_connected(error, connection.remote)
        finally:
            connection.limit_is_over()
        return None


def _result(connection: SmtpConnection, tls: TlsDemand) -> TlsResult | None:
    """What reports call the TLS of a session that can carry mail."""
    if connection.tls_result is not None or tls.policy is TlsPolicy.NEVER:
        return connection.tls_result
    if not connection.tls:
        return TlsResult.STARTTLS_NOT_SUPPORTED
    return TlsResult(tls.fault) if tls.fault else None


_NO_TLS = frozenset({Cause.TLS, Cause.UNENCRYPTED})


def _result_of_stage(connection: SmtpConnection, failure: Deferred) -> TlsResult | None:
    """What reports call an opening that ended before anybody showed a certificate."""
    match connection.machine.opened_to:
        case Stage.HANDSHAKE | Stage.STARTTLS if failure.cause is Cause.SILENT:
            return None  # there was no time left for it
        case Stage.HANDSHAKE:
            return TlsResult.VALIDATION_FAILURE
        case Stage.STARTTLS if not failure.remote:
            return TlsResult.VALIDATION_FAILURE
        case _:
            is_refused = failure.cause in _NO_TLS and not connection.tls
            return TlsResult.STARTTLS_NOT_SUPPORTED if is_refused else None


_WHO_DEMANDS = {
    DANE_SOURCE: "DNS says that mail goes there under TLS alone (DANE)",
    STS_SOURCE: "its domain's policy is that mail goes there under verified TLS alone (MTA-STS)",
}


def _with_demand(failure: Deferred, tls: TlsDemand) -> Deferred:
    """The failure, and why the mail does not go there in clear; a peer's words are left alone."""
    demanded = _WHO_DEMANDS.get(tls.source)
    if demanded is None or tls.policy is TlsPolicy.OPPORTUNISTIC or failure.remote:
        return failure
    said = failure.reply
    lines = (f"{said.text}; {demanded}",)
    return replace(failure, reply=replace(said, lines=lines))
