"""What attempts saw of paths, as it is told to whoever watches them."""

import structlog

from postern.delivery.job import Job
from postern.delivery.signs import path_of
from postern.delivery.smtp_connection import SmtpConnection
from postern.mail.paths import Observation, Path, PathWatch, Sign
from postern.mail.route import TlsPolicy, Way
from postern.mail.tlsrpt import UNCOUNTED, TlsResult, TlsSessions
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.delivery")

ALARM_EVERY_S = 600.0
"""How often the log says that a relay locks us out."""


class Sightings:
    """Tells a watch; an alarm of its own where a relay of ours takes nothing from us.

    ``is_probe``: no mail goes the ways that are told of.
    """

    def __init__(
        self,
        watch: PathWatch,
        clock: Clock,
        sessions: TlsSessions = UNCOUNTED,
        *,
        is_probe: bool = False,
    ) -> None:
        self._watch = watch
        self._sessions = sessions
        self._clock = clock
        self._is_probe = is_probe
        self._alarmed: dict[str, float] = {}

    def tell(
        self,
        way: Way,
        connection: SmtpConnection,
        sign: Sign,
        began: float,
        text: str = "",
        *,
        is_final: bool = True,
    ) -> None:
        """``began``: the monotonic second in which the try began."""
        clock = self._clock
        if sign is Sign.LOCKED_OUT:
            self._alarm(way, text)
        self._watch.saw(
            Observation(
                path_of(way, connection),
                way.group,
                way.target.host,
                sign,
                clock.now(),
                clock.monotonic() - began,
                text,
                self._is_probe,
                is_final,
            )
        )

    def count(self, way: Way, job: Job, result: TlsResult | None) -> None:
        """How the TLS of a session went that was opened for ``job``; None: all is well."""
        if way.target.tls.policy is not TlsPolicy.NEVER:
            domains = {recipient.address.domain for recipient in job.recipients}
            self._sessions.session(way, domains, result)

    def lost(self, way: Way, connection: SmtpConnection) -> None:
        """Another answered while this one did not."""
        self._watch.lost(path_of(way, connection))

    def answers(self, way: Way, since: float) -> bool:
        """Whether anybody has had an answer there since that moment (wall clock)."""
        target = way.target
        encrypted = target.tls.policy is not TlsPolicy.NEVER
        return self._watch.answers(Path(way.egress.name, target.ip, target.port, encrypted), since)

    def _alarm(self, way: Way, text: str) -> None:
        name, now = way.egress.name, self._clock.monotonic()
        if now < self._alarmed.get(name, now):
            return
        self._alarmed[name] = now + ALARM_EVERY_S
        log.error("delivery.relay_locked_out", egress=name, relay=way.target.host, said=text)
