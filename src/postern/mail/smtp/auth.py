"""One authentication exchange: AUTH PLAIN (RFC 4616) and AUTH LOGIN, framed by RFC 4954."""

from binascii import Error as Base64Error
from binascii import a2b_base64

from postern.mail.address import CONTROLS
from postern.mail.reply import Reply
from postern.mail.smtp import replies
from postern.mail.smtp.events import Credentials

MECHANISMS = frozenset({b"PLAIN", b"LOGIN"})

_ASK_NOTHING = Reply(334, "", ("",))
_ASK_USERNAME = Reply(334, "", ("VXNlcm5hbWU6",))  # "Username:"
_ASK_PASSWORD = Reply(334, "", ("UGFzc3dvcmQ6",))  # "Password:"; clients look for these very words


class AuthExchange:
    """Takes the client's responses until there are credentials or a refusal."""

    __slots__ = ("_mechanism", "_username")

    def __init__(self, mechanism: bytes) -> None:
        self._mechanism = mechanism
        self._username: str | None = None

    @property
    def prompt(self) -> Reply:
        """The 334 that asks for the next response."""
        if self._mechanism == b"PLAIN":
            return _ASK_NOTHING
        return _ASK_USERNAME if self._username is None else _ASK_PASSWORD

    def respond(self, line: bytes) -> Credentials | Reply | None:
        """Takes one response, in base64.

        Returns:
            Credentials at the end, a 5xx reply when the exchange failed, None to go on with the
            next ``prompt``. No reply ever repeats what the client sent.
        """
        if line == b"*":
            return replies.AUTH_CANCELLED
        try:
            response = a2b_base64(line, strict_mode=True).decode("utf-8")
        except Base64Error:
            return replies.AUTH_BAD_BASE64
        except UnicodeDecodeError:
            return replies.AUTH_BAD_RESPONSE
        return self._plain(response) if self._mechanism == b"PLAIN" else self._login(response)

    def _plain(self, response: str) -> Credentials | Reply:
        parts = response.split("\0")
        if len(parts) != 3:
            return replies.AUTH_BAD_RESPONSE
        authorize_as, username, password = parts
        return _credentials("PLAIN", username, password, authorize_as)

    def _login(self, response: str) -> Credentials | Reply | None:
        if self._username is None:
            self._username = response
            return None
        return _credentials("LOGIN", self._username, response, "")


def _credentials(
    mechanism: str, username: str, password: str, authorize_as: str
) -> Credentials | Reply:
    """Credentials, unless a part is missing or a name could break out of a log line."""
    if not username or not password or "\0" in password:
        return replies.AUTH_BAD_RESPONSE
    if CONTROLS.search(username) or CONTROLS.search(authorize_as):
        return replies.AUTH_BAD_RESPONSE
    return Credentials(mechanism, username, password, authorize_as)
