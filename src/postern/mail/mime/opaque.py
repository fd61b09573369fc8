"""Archives that are known, but not looked into: what can be told of them all the same."""

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import Kind
from postern.mail.mime.part import What

_AES_IN_SEVEN = b"\x06\xf1\x07\x01"
"""The coder 7z encrypts with; readable when the list of files is encrypted too."""


class Opaque(Sink):
    """Told once, at its end: encrypted if it shows, else as what can't be looked into."""

    def __init__(self, kind: Kind, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._kind = kind
        self._ledger = ledger
        self._name = name
        self._within = within
        self._tail = b""
        self._is_encrypted = False

    def feed(self, data: bytes) -> bool:
        """Only 7z is read to its end."""
        if self._kind is not Kind.SEVEN:
            self._tell()
            return False
        buffer = self._tail + data
        self._is_encrypted = self._is_encrypted or _AES_IN_SEVEN in buffer
        self._tail = buffer[-3:]
        return True

    def finish(self) -> None:
        """Tell what it is."""
        self._tell()

    def _tell(self) -> None:
        if self._is_encrypted:
            what, detail = What.ENCRYPTED, self._kind.value
        else:
            what, detail = What.UNREADABLE, f"{self._kind.value} is not looked into"
        self._ledger.tell(what, self._name, self._within[:-1], detail)
