"""One listener in one worker: how it speaks, and which connections are open on it."""

from typing import Protocol

from postern.mail.smtp.settings import ServerSettings
from postern.reception.limits import ConnectionCounts
from postern.reception.services import Services
from postern.reception.settings import Kind, ListenerSettings
from postern.reception.tls import Certificates


class OpenConnection(Protocol):
    """What the listener asks of its connections."""

    def look_at_clock(self, now: float) -> None:
        """End it when it is silent or stays too long."""
        ...

    def leave(self) -> None:
        """The server stops: end at once, or after the message that is under way."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class Port:
    """One listener in one worker: how its connections speak, and those that are open."""

    def __init__(
        self,
        services: Services,
        listener: ListenerSettings,
        certificates: Certificates,
        counts: ConnectionCounts,
    ) -> None:
        self.services = services
        self.listener = listener
        self.certificates = certificates
        self.counts = counts
        self.connections: set[OpenConnection] = set()
        self.speaks = self._speaks()

    def reload(self, services: Services, certificates: Certificates) -> None:
        """New connections are served with these; open ones go on as they began."""
        self.services = services
        self.certificates = certificates
        self.speaks = self._speaks()

    def _speaks(self) -> ServerSettings:
        settings = self.services.settings
        has_tls = self.certificates.context is not None
        is_submission = self.listener.kind is not Kind.MX
        # Nobody has a verdict of its own where nobody is looked at.
        examines = self.services.policy is not None and self.listener.examines
        return ServerSettings(
            settings.hostname,
            settings.max_message_bytes,
            settings.max_recipients,
            max_errors=settings.errors_per_session,
            max_commands=settings.commands_per_session,
            offer_starttls=has_tls
            and self.listener.kind is not Kind.SUBMISSIONS
            and not self.listener.is_unix,
            offer_auth=is_submission and not self.listener.is_unix,
            normalise_bare_newlines=is_submission and settings.accept_bare_newlines,
            prdr=examines and not is_submission,
        )
