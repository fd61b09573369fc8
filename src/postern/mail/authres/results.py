"""Authentication results as values.

Texts are as people read them: without quotes, escapes or folding. An address stays as it is written
in a header, so a local part that needs quotes has them: ``"a b"@tea.example``.

Source: RFC 8601 §2.2.
"""

from dataclasses import dataclass

VERSION = 1
"""The version of the field and of every method that is known here (RFC 8601 §2.6)."""


@dataclass(frozen=True, slots=True)
class Property:
    """What of the message was looked at: ``smtp.mailfrom=tea.example`` is type, name and value."""

    type: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method's result, and what it rests on.

    ``comment`` is what stood in parentheses right behind the result. ``version`` is the method's;
    what another version than 1 means is not known here.
    """

    method: str
    result: str
    properties: tuple[Property, ...] = ()
    reason: str = ""
    comment: str = ""
    version: int = VERSION

    def value(self, type_: str, name: str) -> str | None:
        """The first value of a property such as ``("header", "d")``, or None."""
        for found in self.properties:
            if found.type == type_ and found.name == name:
                return found.value
        return None


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """A whole field: who says so, and what. Without results it says ``none``."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()
    version: int = VERSION
