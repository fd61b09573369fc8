"""Opens a connection to one place and brings it to where it can carry mail."""

import asyncio
from dataclasses import dataclass

from postern.delivery.failure import not_connected
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tls import TlsContexts, server_name
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.route import TlsDemand, TlsPolicy
from postern.mail.smtp.client import ClientMachine
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.smtp.client_outcomes import own_words
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
    """No session: why, and the TLS it had come to."""

    failure: Deferred
    tls: str = ""


class Opener:
    """Knows the limits and the TLS contexts that every connection shares."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._contexts = TlsContexts(settings.ca_file)

    def begin(self, config: ClientConfig) -> SmtpConnection:
        """A connection that is not open yet; give it to the pool's ``watch``, then ``open`` it."""
        return SmtpConnection(ClientMachine(config), config.remote, self._settings, self._clock)

    async def open(
        self, connection: SmtpConnection, place: Place, tls: TlsDemand
    ) -> NotOpened | None:
        """Connect and go through greeting, EHLO, STARTTLS and AUTH; None when it can carry mail."""
        try:
            failure = await self._connect(connection, place)
            if failure is not None:
                connection.abandon()
                return NotOpened(failure)
            is_clear = tls.policy is TlsPolicy.NEVER
            context = None if is_clear else self._contexts.context(tls.policy)
            if await connection.wait_ready(context, server_name(place.host)):
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
        return NotOpened(failure or own_words(Cause.CLOSED, "The session ended"), connection.tls)

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
