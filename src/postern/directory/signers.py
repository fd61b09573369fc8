"""Who signs for a domain: its active DKIM keys, read once and kept until the directory changes.

Source: RFC 6376 §3.5 (d=), RFC 9989 §5.1 (alignment with the author's domain).
"""

from collections.abc import Callable
from functools import lru_cache

import structlog

from postern.directory.dkim import DkimKey
from postern.directory.store.dkim import has_signing_keys, signing_keys
from postern.mail.address import Address
from postern.mail.dkim.key import KeyFlaw
from postern.mail.dkim.parents import upwards
from postern.mail.dkim.private import PrivateKey, read_private_key
from postern.mail.dkim.sign import Signer
from postern.mail.dkim.signing import Signing
from postern.mail.message.header import HeaderScan
from postern.mail.message.mailbox import visible_from
from postern.mail.message.summary import summarise
from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.directory")

CACHED_DOMAINS = 8_192
CACHED_KEYS = 4_096


class Signers:
    """Finds signers; used from one thread.

    ``forget`` belongs to ``Directory.on_change``: it drops which keys are active; the keys
    themselves are kept, for reading one takes longer than using it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of = lru_cache(CACHED_DOMAINS)(self._read)
        self._are_any: bool | None = None
        self._private: Callable[[str, bytes], PrivateKey] = lru_cache(CACHED_KEYS)(_private)

    def forget(self) -> None:
        """Something in the directory changed."""
        self._of.cache_clear()
        self._are_any = None

    def of(self, domain: str) -> tuple[Signer, ...]:
        """Who signs for an author at ``domain`` (lower-case A-labels); nobody, for most domains.

        While the database does not answer nobody does: the mail goes unsigned, and is not lost.
        """
        try:
            return self._of(domain)
        except DatabaseTroubleError as error:
            log.warning("directory.no_dkim_keys", domain=domain, error=str(error))
            return ()

    def begin(self, head: bytes, header_end: int, sender: Address | None) -> Signing | None:
        """Begin to sign a message for its author, or its sender where it has none.

        Args:
            head: its first octets as they will be sent, the whole header at least.
            header_end: where the body begins.
            sender: of the envelope.

        Returns:
            None where nobody signs for the author. A signature for anybody else would be worth
            nothing to DMARC, and would vouch for what the author's domain does not. Nor where
            readers may not agree who the author is: two From fields, or one that can't be read.
        """
        if not self._has_any():
            return None
        scan = HeaderScan(head)
        named = sum(bool(value.strip()) for value in scan.all(b"from"))
        if named > 1:
            return None
        author = visible_from(scan) if named else sender
        signers = self.of(author.domain) if author is not None else ()
        return Signing(signers, head, header_end) if signers else None

    def sign(self, content: bytes, now: float) -> bytes:
        """The fields to put on top of a message of our own; empty where nobody signs for it."""
        signing = self.begin(content, summarise(content).header_end, None)
        return b"" if signing is None else signing.finish(now)

    def _has_any(self) -> bool:
        """Whether anybody signs at all: a site without keys need not look who the author is."""
        if self._are_any is None:
            try:
                with self._database.read() as connection:
                    self._are_any = has_signing_keys(connection)
            except DatabaseTroubleError:
                return True  # whoever asks for the keys meets the trouble
        return self._are_any

    def _read(self, domain: str) -> tuple[Signer, ...]:
        with self._database.read() as connection:
            for name in upwards(domain):
                keys = signing_keys(connection, name)
                if keys:
                    return tuple(signer for key in keys if (signer := self._signer(key)))
        return ()

    def _signer(self, key: DkimKey) -> Signer | None:
        try:
            return Signer(key.domain, key.selector, self._private(key.id, key.pem))
        except ValueError as error:
            log.error("directory.dkim_key_damaged", name=key.record_name, error=str(error))  # noqa: TRY400 - the text is the cause
            return None


def _private(_id: str, pem: bytes) -> PrivateKey:
    key = read_private_key(pem, is_checked=True)
    if isinstance(key, KeyFlaw):
        raise ValueError(key.text)  # noqa: TRY004 - what is kept is damaged
    return key
