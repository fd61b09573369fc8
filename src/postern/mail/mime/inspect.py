"""Looks into one file: what it is by its first octets, and what is in it if it is an archive."""

from postern.mail.mime.compressed import Compressed
from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import HEAD_BYTES, Kind, kind_of
from postern.mail.mime.names import MAILS, ZIPS, extensions
from postern.mail.mime.opaque import Opaque
from postern.mail.mime.part import What
from postern.mail.mime.rar import RarReader
from postern.mail.mime.seven import SevenReader
from postern.mail.mime.tar import TarReader
from postern.mail.mime.tnef import TnefReader
from postern.mail.mime.zip import ZipReader


def inspector(ledger: Ledger, name: str, within: tuple[str, ...]) -> Sink:
    """What ``Ledger.open`` gives out."""
    return Inspector(ledger, name, within)


class Inspector(Sink):
    """Decides by the head, then hands on to what can read such a file."""

    def __init__(self, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._name = name
        self._within = within
        self._head = b""
        self._reader: Sink | None = None
        self._size = 0
        self._is_done = False

    def feed(self, data: bytes) -> bool:
        """False as soon as nothing more is to be learnt."""
        if self._is_done:
            return False
        if self._reader is None:
            self._head += data
            if len(self._head) < HEAD_BYTES:
                return True
            return self._decide()
        return self._read(data)

    def finish(self) -> None:
        """The file may be shorter than its head."""
        if self._reader is None and not self._is_done:
            self._decide()
        self._end()

    def _decide(self) -> bool:
        head, self._head = self._head, b""
        kind = kind_of(head[:HEAD_BYTES])
        is_mail = False
        if kind is Kind.OTHER and self._name:
            kind = _kind_by_name(self._name)
            is_mail = bool(extensions(self._name) & MAILS) and self._ledger.open_mail is not None
        if kind.is_program:
            self._ledger.tell(What.PROGRAM, self._name, self._within, kind.value)
        if not kind.is_archive and not is_mail:
            self._is_done = True
            return False
        if len(self._within) >= self._ledger.limits.archive_depth or not self._ledger.enter():
            self._give_up("too many archives inside one another")
            return False
        within = (*self._within, self._name)
        if is_mail and self._ledger.open_mail is not None:
            self._reader = self._ledger.open_mail(within)
        else:
            self._reader = _reader(kind, self._ledger, self._name, within)
        return self._read(head)

    def _read(self, data: bytes) -> bool:
        assert self._reader is not None
        self._size += len(data)
        if self._size > self._ledger.limits.archive_bytes:
            self._give_up("larger than what is looked into")
            return False
        if not self._reader.feed(data):
            self._end()
        return not self._is_done

    def _give_up(self, why: str) -> None:
        self._ledger.tell(What.UNREADABLE, self._name, self._within, why)
        self._end()

    def _end(self) -> None:
        """Once, whoever comes to the end first."""
        reader, self._reader = self._reader, None
        self._is_done = True
        if reader is not None:
            reader.finish()
            self._ledger.leave()


def _kind_by_name(name: str) -> Kind:
    """Programs that open archives by their name look for the beginning further on."""
    endings = extensions(name)
    if endings & ZIPS:
        return Kind.ZIP
    if "rar" in endings or "cbr" in endings:
        return Kind.RAR
    return Kind.TAR if "tar" in endings and name.lower().rstrip().endswith(".tar") else Kind.OTHER


def _reader(kind: Kind, ledger: Ledger, name: str, within: tuple[str, ...]) -> Sink:
    """``within``: with the archive itself."""
    match kind:
        case Kind.ZIP:
            return ZipReader(ledger, name, within)
        case Kind.TAR:
            return TarReader(ledger, within)
        case Kind.SEVEN:
            return SevenReader(ledger, name, within)
        case Kind.TNEF:
            return TnefReader(ledger, within)
        case Kind.RAR:
            return RarReader(ledger, name, within)
        case Kind.GZIP | Kind.BZIP2 | Kind.XZ:
            return Compressed(kind, ledger, name, within)
        case _:
            return Opaque(kind, ledger, name, within)
