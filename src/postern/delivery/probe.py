"""Tests a way without mail: connect, greeting, EHLO, STARTTLS and its handshake, QUIT.

Never MAIL or RCPT: a server sees somebody who looks whether it is there. What shows is told to the
watch as attempts tell it, also while the test goes on: that nothing has answered for ``hedge_s``.
"""

import math
from dataclasses import dataclass, replace

from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.delivery.sightings import Sightings
from postern.delivery.signs import LATE, sign_of_delay, sign_of_opening
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.way_opener import Key, WayOpener
from postern.mail.paths import MUTE_S, PathWatch, Sign
from postern.mail.route import Way
from postern.runtime.clock import Clock

CONNECT_S = 10.0
SESSION_S = 20.0
"""How long a test may take; one that is still silent then has said so long before."""


class WayProbe:
    """Makes tests. Lives on one event loop.

    Args:
        settings: how patient delivery is; a test is no more patient.
        clock: for that.
        watch: who is told what shows.
    """

    def __init__(self, settings: DeliverySettings, clock: Clock, watch: PathWatch) -> None:
        settings = replace(
            settings,
            connect_timeout_s=min(settings.connect_timeout_s, CONNECT_S),
            tls_timeout_s=min(settings.tls_timeout_s, CONNECT_S),
            session_budget_s=min(settings.session_budget_s, SESSION_S),
        )
        self._hedge_s = settings.hedge_s
        self._clock = clock
        self._opener = WayOpener(settings, clock)
        self._pool: Pool[Key] = Pool(settings, clock)
        self._sightings = Sightings(watch, clock, is_probe=True)

    async def probe(self, way: Way) -> None:
        """Test it. Never raises for what a peer or the network does."""
        began = self._clock.monotonic()
        connection = self._opener.begin(way)
        lateness = _Lateness(way, connection, began, began + self._hedge_s, self._sightings)
        self._pool.watch(connection)
        self._pool.attend(lateness)
        try:
            ended = await self._opener.open(way, connection)
        finally:
            self._pool.leave(lateness)
        if ended is None:
            self._sightings.tell(way, connection, Sign.ANSWERED, began)
            connection.close()
            return
        failure = ended.failure
        sign = sign_of_opening(connection, failure)
        if sign is not None:
            text = str(failure.reply) if failure.remote else failure.reply.text
            self._sightings.tell(way, connection, sign, began, text)

    async def close(self) -> None:
        """Break off what is under way."""
        await self._pool.close(0.0)


@dataclass(slots=True, eq=False)
class _Lateness:
    """Tells that a test is late, while it goes on; again when a mute peer has been so too long."""

    way: Way
    connection: SmtpConnection
    began: float
    late_at: float
    sightings: Sightings

    def look(self, now: float) -> None:
        """By the pool's timer."""
        if now < self.late_at:
            return
        sign = sign_of_delay(self.connection)
        mute_at = self.began + MUTE_S
        self.late_at = mute_at if sign is Sign.MUTE and self.late_at < mute_at else math.inf
        text = f"{LATE[sign]} {now - self.began:.0f} s"
        self.sightings.tell(self.way, self.connection, sign, self.began, text, is_final=False)
