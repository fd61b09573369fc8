"""Proving to a relay who we are: AUTH PLAIN and LOGIN from the client's side (RFC 4954)."""

from base64 import b64encode
from dataclasses import dataclass, field

from postern.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; the password is never shown."""

    username: str
    password: str = field(repr=False)


class AuthExchange:
    """One AUTH command to its end. Each challenge is answered once; more are cancelled."""

    __slots__ = ("_answers", "_opening")

    def __init__(self, opening: bytes, answers: list[bytes]) -> None:
        self._opening = opening
        self._answers = answers

    def begin(self) -> bytes:
        """The AUTH command."""
        return self._opening

    def answer(self, challenge: Reply) -> bytes:
        """The line for a 334; ``*`` cancels when the server asks for more than it should."""
        del challenge  # its words are free text: servers say "Username:", "334 " or anything
        return self._answers.pop(0) if self._answers else b"*\r\n"


def choose(login: Login, offered: frozenset[str]) -> AuthExchange | None:
    """An exchange for the best mechanism both sides know, or None.

    PLAIN carries its answer at once (RFC 4954 §4); LOGIN has no RFC but many relays only know it.
    """
    name, password = login.username.encode(), login.password.encode()
    if "PLAIN" in offered and b"\0" not in name + password:
        return AuthExchange(b"AUTH PLAIN " + _line(b"\0" + name + b"\0" + password), [])
    if "LOGIN" in offered:
        return AuthExchange(b"AUTH LOGIN\r\n", [_line(name), _line(password)])
    return None


def _line(octets: bytes) -> bytes:
    return b64encode(octets) + b"\r\n"
