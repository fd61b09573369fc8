"""Header values as text for people: unfolded, decoded, and unable to break out of their line.

A decoded encoded-word can hold CR LF, escape sequences and marks that turn text around; what is
shown in a log, a notice, a terminal or a page passes through here first.

Source: RFC 2047, RFC 2231 §5 (language in encoded-words), RFC 6532 (UTF-8 in headers).
"""

import binascii
import re

MAX_TEXT_CHARS = 998
"""Text is cut here unless the caller wants less: RFC 5322 §2.1.1's longest line."""

_MAX_RAW_BYTES = 16_384  # decoding looks no further, whatever a header holds
_FOLD = re.compile(rb"\r\n[ \t]+")
_WORD = re.compile(
    rb"=\?([!-)+->@-~]{1,60})(?:\*[A-Za-z0-9-]{0,30})?\?([bBqQ])\?([^?\x00-\x1f]*+)\?="
)
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: CR LF, terminal escapes
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that reorder what is read
    f"\ufeff{chr(0xD800)}-{chr(0xDFFF)}"  # byte order; surrogates, which no text may hold
    "]+"
)
_PLAIN = re.compile(rb"[ -~]*+")
_BLANKS = re.compile(r"  +")

# A list of its own: codecs.lookup() would import modules by a name out of a mail, and knows codecs
# that are slow on purpose-made input (idna, punycode) or not charsets at all (rot13, zlib).
# gb2312 and gbk are read as their superset GB18030: mail labelled gb2312 is full of gbk characters.
_CODECS = {
    "us-ascii": "ascii",
    "ascii": "ascii",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "gb_2312-80": "gb18030",
    "euc-cn": "gb18030",
    "gb18030": "gb18030",
    "hz-gb-2312": "hz",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cn-big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "tis-620": "tis_620",
    "utf-7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
}
_CODECS |= {f"iso-8859-{n}": f"iso8859_{n}" for n in range(2, 17) if n != 12}
_CODECS |= {f"windows-{n}": f"cp{n}" for n in range(1250, 1259)}
_CODECS |= {f"cp{n}": f"cp{n}" for n in range(1250, 1259)}


def decode_text(value: bytes, limit_chars: int = MAX_TEXT_CHARS) -> str:
    """A raw header value as one safe line of at most ``limit_chars`` characters.

    Encoded-words are decoded, adjacent ones of one charset joined before decoding (a character
    may be split between them); controls become one space; an unknown charset or broken encoding
    never raises. Octets beyond ASCII outside encoded-words are read as UTF-8, else as GB18030,
    else as Windows-1252: a guess, as nothing in the mail says.
    """
    if b"=?" not in value and _PLAIN.fullmatch(value):
        return value[:_MAX_RAW_BYTES].decode("ascii").strip()[:limit_chars]
    return clean_text(decode_words(value), limit_chars)


def decode_words(value: bytes) -> str:
    """As ``decode_text``, but with whatever controls it holds: to be looked at, never shown."""
    return "".join(_pieces(_FOLD.sub(b" ", value[:_MAX_RAW_BYTES])))


def decode_octets(octets: bytes, charset: str) -> str:
    """Octets in a charset that mail named; guessed where it named none, or one nobody knows."""
    return _decode(octets[:_MAX_RAW_BYTES], charset)


def clean_text(text: str, limit_chars: int = MAX_TEXT_CHARS) -> str:
    """``text`` as one line: controls, line breaks and reordering marks become a space."""
    return _BLANKS.sub(" ", without_controls(text[: limit_chars * 4])).strip()[:limit_chars]


def without_controls(text: str) -> str:
    """``text`` with each run of controls, line breaks and reordering marks as one space."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(" ", text)


def _pieces(raw: bytes) -> list[str]:
    """Plain and encoded parts of an unfolded value, decoded."""
    pieces: list[str] = []
    held = b""  # octets of encoded-words that may go on in the next one
    held_charset = ""
    position = 0
    for match in _WORD.finditer(raw):
        between = raw[position : match.start()]
        charset = match[1].decode("ascii").lower()
        blank_between = position > 0 and not between.strip()
        if not (blank_between and charset == held_charset):
            pieces.append(_decode(held, held_charset))
            held = b""
        if not blank_between:
            pieces.append(_guess(between))
        held, held_charset = held + _octets(match[2], match[3]), charset
        position = match.end()
    pieces.append(_decode(held, held_charset))
    pieces.append(_guess(raw[position:]))
    return pieces


def _octets(encoding: bytes, encoded: bytes) -> bytes:
    """What an encoded-word holds; its own text when the encoding is broken."""
    if encoding in b"qQ":
        return binascii.a2b_qp(encoded.replace(b" ", b"_"), header=True)
    try:
        return binascii.a2b_base64(encoded + b"==")
    except binascii.Error:
        return encoded


def _decode(octets: bytes, charset: str) -> str:
    if not octets:
        return ""
    codec = _CODECS.get(charset)
    return _guess(octets) if codec is None else octets.decode(codec, "replace")


def _guess(octets: bytes) -> str:
    for codec in ("utf-8", "gb18030"):
        try:
            return octets.decode(codec)
        except UnicodeDecodeError:
            continue
    return octets.decode("cp1252", "replace")
