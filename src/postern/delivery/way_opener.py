"""Opens connections over ways: what a way means for a connection."""

from postern.delivery.opener import NotOpened, Opener, Place
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tls import is_loopback
from postern.mail.route import Egress, Target, Way
from postern.mail.smtp.client_auth import Login
from postern.mail.smtp.client_opening import ClientConfig
from postern.runtime.clock import Clock

Key = tuple[Egress, Target]
"""What two transactions must share to use one connection: the address and the TLS it must have, the
egress with its login, and not whether it was somebody's last resort.
"""


def key_of(way: Way) -> Key:
    """The key of connections over this way."""
    return way.egress, way.target


class WayOpener:
    """Begins connections and opens them; shares limits and TLS contexts."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._opener = Opener(settings, clock)

    def begin(self, way: Way) -> SmtpConnection:
        """A connection that is not open yet; give it to the pool's ``watch``, then ``open`` it."""
        return self._opener.begin(self._config(way))

    async def open(self, way: Way, connection: SmtpConnection) -> NotOpened | None:
        """Bring it to where it can carry mail; else why that was not to be."""
        target = way.target
        place = Place(target.host, target.ip, target.port, source_ip=way.egress.source_ip)
        return await self._opener.open(connection, place, target.tls)

    def _config(self, way: Way) -> ClientConfig:
        settings, egress, target = self._settings, way.egress, way.target
        login = None
        if egress.username is not None:
            login = Login(egress.username, egress.password or "")
        return ClientConfig(
            helo=egress.helo or settings.helo,
            remote=f"{target.host} [{target.ip}]" if target.host else f"[{target.ip}]",
            tls=target.tls.policy,
            login=login,
            clear_auth=settings.clear_auth_on_loopback and is_loopback(target.ip),
            relay=way.is_relay,
            chunk_limit_bytes=settings.chunk_limit_bytes,
        )
