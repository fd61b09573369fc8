"""The keys a conversation can be found by: one sorted index serves them all.

A key is a letter and what follows it, made so that a question is a range of keys:

- ``a`` + reversed domain + ``@`` + local part (``aexample.tea-trading@li``): an address is one key,
  a domain the range ``aexample.tea-trading@``, what lies below it ``aexample.tea-trading.``;
- ``m`` + 7 bytes of the Message-ID's hash (hashed because every Message-ID is new: short keys keep
  the part of the index that each message touches small);
- ``w`` + a word of the subject; ideographs, which know no blanks, as pairs;
- ``h`` + reversed HELO name, ``x`` + reversed name of an MX host that was tried;
- ``i`` + 16 bytes of the client's address, ``p`` + those of an address that was tried;
- ``r`` + number of a related conversation.

Two different things may share a key (hashes, words
cut short): whoever reads asks ``postern.journal.match`` again.
"""

import re
import socket
from functools import lru_cache
from hashlib import blake2b

from postern.journal.record import Conversation

MAX_KEY_BYTES = 336
MAX_WORDS = 12
MAX_WORD_CHARS = 32
MAX_SUBJECT_CHARS = 512
MAX_RECIPIENTS = 1000
MAX_RELATED = 8

_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile(r"[a-z0-9]{2,}")
# Han, kana, hangul and their extensions: scripts whose words are not parted by blanks.
_IDEOGRAPHS = re.compile(
    "([\u2e80-\u2fdf\u3040-\u30ff\u3130-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+)"
)
_V4_PREFIX = b"\0" * 10 + b"\xff\xff"


def keys_of(conversation: Conversation) -> set[bytes]:
    """Every key ``conversation`` is to be found by, without doubles."""
    c = conversation
    keys = set(map(address_key, addresses_of(c)))
    if c.subject:
        keys.update(subject_keys(c.subject[:MAX_SUBJECT_CHARS]))
    if c.message_id:
        keys.add(message_id_key(c.message_id))
    if c.helo:
        keys.add(host_key("h", c.helo))
    if packed := ip_bytes(c.client_ip):
        keys.add(b"i" + packed)
    for attempt in c.attempts[:MAX_RECIPIENTS]:
        if attempt.mx:
            keys.add(host_key("x", attempt.mx))
        if packed := ip_bytes(attempt.address):
            keys.add(b"p" + packed)
    for number in c.related[:MAX_RELATED]:
        keys.add(related_key(number))
    return keys


def addresses_of(conversation: Conversation) -> list[str]:
    """Every address in ``conversation``: account, envelope, visible From, where aliases led.

    An address with a tag (``li+shop@…``) is there without it too: people ask for the mailbox.
    """
    c = conversation
    named = [address for address in (c.account, c.mail_from, c.from_header) if address]
    return with_untagged(named) + recipients_of(c)


def recipients_of(conversation: Conversation) -> list[str]:
    """The recipients' addresses, as they were named and as aliases made them."""
    addresses = []
    for recipient in conversation.recipients[:MAX_RECIPIENTS]:
        addresses.append(recipient.address)
        if recipient.final:
            addresses += recipient.final.split(", ")[:MAX_RECIPIENTS]
    return with_untagged(addresses)


def with_untagged(addresses: list[str]) -> list[str]:
    """The addresses, and behind them those with a tag once more without it.

    The separator is ``+`` here whatever a domain's own is: the journal does not know the
    directory, and a key too many is harmless.
    """
    untagged = []
    for address in addresses:
        if "+" in address:
            local, _, domain = address.rpartition("@")
            if base := local.partition("+")[0]:
                untagged.append(f"{base}@{domain}")
    return addresses + untagged


@lru_cache(maxsize=8192)
def address_key(address: str) -> bytes:
    """The key of ``local@domain``; the local part is folded, for people type it as they like."""
    local, _, domain = address.rpartition("@")
    return _encoded(f"a{reversed_host(domain)}@{local.casefold()}")


@lru_cache(maxsize=4096)
def host_key(letter: str, name: str) -> bytes:
    """The key of a host name under ``h`` (HELO) or ``x`` (MX)."""
    return _encoded(letter + reversed_host(name))


@lru_cache(maxsize=4096)
def reversed_host(name: str) -> str:
    """``example.tea-trading`` for ``tea-trading.example``; an address literal stays as it is."""
    name = name.strip().rstrip(".").lower()
    if not name.isascii():
        name = _a_labels(name)
    return name if name[:1] == "[" else ".".join(name.split(".")[::-1])


def message_id_key(message_id: str) -> bytes:
    """The key of a Message-ID, with or without its angle brackets."""
    return b"m" + blake2b(_encoded(bare_message_id(message_id)), digest_size=7).digest()


def bare_message_id(message_id: str) -> str:
    """A Message-ID without blanks and angle brackets."""
    return message_id.strip().removeprefix("<").removesuffix(">")


def related_key(number: int) -> bytes:
    """The key under which a conversation's siblings are found."""
    return b"r" + number.to_bytes(8)


@lru_cache(maxsize=1024)
def subject_keys(subject: str) -> tuple[bytes, ...]:
    """Keys of the first words of a subject."""
    return tuple(map(word_key, words(subject)[:MAX_WORDS]))


def word_key(word: str) -> bytes:
    """The key of one word as ``words`` gives it."""
    return _encoded("w" + word)


def words(text: str) -> list[str]:
    """The words of a text, folded and cut to ``MAX_WORD_CHARS``; ideographs as pairs.

    A single letter is no word; a single ideograph between blanks is.
    """
    text = text.casefold()
    if text.isascii():
        return [word[:MAX_WORD_CHARS] for word in _ASCII_WORD.findall(text)]
    found: list[str] = []
    for run in _WORD.findall(text):
        for index, part in enumerate(_IDEOGRAPHS.split(run)):
            if index % 2:
                found.extend(_pairs(part))
            elif len(part) > 1:
                found.append(part[:MAX_WORD_CHARS])
    return found


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


@lru_cache(maxsize=8192)
def ip_bytes(address: str) -> bytes:
    """16 bytes of an IP address (IPv4 as ``::ffff:a.b.c.d``), empty when it is none.

    One length for both families makes any network one range.
    """
    try:
        if ":" in address:
            return socket.inet_pton(socket.AF_INET6, address.partition("%")[0].strip("[]"))
        return _V4_PREFIX + socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        return b""


def ip_text(packed: bytes) -> str:
    """The address behind ``ip_bytes``."""
    if packed.startswith(_V4_PREFIX):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed) if len(packed) == 16 else ""


def _encoded(text: str) -> bytes:
    # Lone surrogates can only come from broken input; "replace" keeps such a record findable by
    # its other keys instead of failing the whole batch.
    return text.encode("utf-8", "replace")[:MAX_KEY_BYTES]


def _a_labels(name: str) -> str:
    """A-labels of a name that is not ASCII, or the name itself where it has none."""
    # Lazily: the tables of idna take 15 ms to load, and almost every name is ASCII.
    import idna  # noqa: PLC0415 - 15 ms, seldom needed

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        return name
