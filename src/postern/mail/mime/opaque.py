"""Archives that are known, but not looked into."""

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import Kind
from postern.mail.mime.part import What


class Opaque(Sink):
    """Told at once as what can't be looked into; the name inside shows for one of them."""

    def __init__(self, kind: Kind, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._kind = kind
        self._ledger = ledger
        self._name = name
        self._within = within

    def feed(self, data: bytes) -> bool:
        """Nothing of it is read."""
        del data
        detail = f"{self._kind.value} is not looked into"
        self._ledger.tell(What.UNREADABLE, self._name, self._within[:-1], detail)
        return False
