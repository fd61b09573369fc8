"""Who is at the other end of a connection, as far as it is known now."""

from dataclasses import dataclass

from postern.directory.reader import Account
from postern.reception.settings import Kind, ListenerSettings


@dataclass(slots=True)
class Client:
    """One connection's client.

    ``ip`` is empty for a program of this machine on a unix socket; ``tls`` is
    ``"TLS1.3 TLS_AES_256_GCM_SHA384"`` once the line is encrypted; ``is_relay``: it may send to
    anyone without logging in (``relay_from``, or this machine's own programs); ``wrong_logins``
    counts passwords that were wrong.
    """

    ip: str
    port: int
    listener: ListenerSettings
    is_relay: bool = False
    tls: str = ""
    account: Account | None = None
    local_user: str = ""
    wrong_logins: int = 0

    @property
    def is_trusted(self) -> bool:
        """True for our own users: mail to anyone is taken, and mended where it lacks fields."""
        return self.is_relay or self.account is not None

    @property
    def must_log_in(self) -> bool:
        """True on a submission port until somebody has logged in."""
        return self.listener.kind is not Kind.MX and not self.is_trusted

    @property
    def account_name(self) -> str:
        """Who is accountable, for the journal."""
        return self.local_user if self.account is None else str(self.account.address)
