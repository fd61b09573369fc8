"""What an error of the network means, in a cause and in words that follow a host's name."""

import errno
import ssl

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.smtp.client_outcomes import own_words

_UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT}
)
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


def cause_of_loss(error: Exception | None) -> tuple[Cause, str]:
    """Why an open connection ended."""
    if error is None:
        return Cause.CLOSED, "closed the connection"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "unknown alert").replace("_", " ").lower()
        return Cause.TLS, f"ended TLS with an alert ({reason})"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return Cause.SILENT, "stopped answering"
    return Cause.RESET, "reset the connection"


def not_connected(error: OSError, remote: str) -> Deferred:
    """Why no connection came about."""
    if isinstance(error, TimeoutError):
        return own_words(Cause.SILENT, f"{remote} did not answer")
    if isinstance(error, ConnectionRefusedError):
        return own_words(Cause.REFUSED, f"{remote} refused the connection", Whose.RECIPIENT)
    if error.errno in _RESET:
        return own_words(Cause.RESET, f"{remote} reset the connection")
    if error.errno in _UNREACHABLE:
        return own_words(Cause.SILENT, f"{remote} cannot be reached from here")
    words = f"No connection to {remote} could be opened here: {error.strerror or error}"
    return own_words(Cause.LOCAL, words, Whose.US)
