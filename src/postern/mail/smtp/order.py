"""Which command is allowed when: the one table of the server machine (RFC 5321 §4.1.4)."""

from enum import IntEnum

from postern.mail.reply import Reply, reply


class Phase(IntEnum):
    """Where a connection stands between two commands; the columns of ``ORDER``."""

    OPENED = 0  # greeted, not yet introduced
    READY = 1  # introduced, no transaction
    MAIL = 2  # a sender, no accepted recipient yet
    RCPT = 3  # at least one accepted recipient
    CHUNKS = 4  # between two BDAT of one message
    REFUSED = 5  # greeted with 554: only QUIT is left (RFC 5321 §3.1)


IN_TRANSACTION = frozenset({Phase.MAIL, Phase.RCPT, Phase.CHUNKS})


class Mode(IntEnum):
    """What the next bytes are. Modes up to ``LOGIN`` have nothing to do where there are none."""

    NOTHING = 0  # not greeted yet: nothing is read
    COMMAND = 1
    DATA = 2
    LOGIN = 3  # a line of an authentication exchange
    CHUNK = 4
    SKIP = 5  # a refused chunk


class Ask(IntEnum):
    """Which *asks* event is unanswered."""

    NOTHING = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    CHUNKS = 4
    BODY = 5
    STARTTLS = 6
    AUTH = 7
    VRFY = 8


_HELLO = reply(503, "5.5.1", "Say EHLO first")
_MAIL = reply(503, "5.5.1", "Send MAIL FROM first")
_RCPT = reply(503, "5.5.1", "Send RCPT TO first")
_NESTED = reply(503, "5.5.1", "A sender was already given; finish this message or send RSET")
_CHUNK = reply(503, "5.5.1", "This message comes by BDAT; finish it with BDAT LAST or send RSET")
_OPEN = reply(503, "5.5.1", "Not while a message is under way; finish it or send RSET")
_QUIT = reply(503, "5.5.1", "No mail is taken on this connection; send QUIT")

ORDER: dict[bytes, tuple[Reply | None, ...]] = {
    #             OPENED  READY  MAIL     RCPT     CHUNKS   REFUSED      None: go ahead
    b"HELO":     (None,   None,  None,    None,    None,    _QUIT),
    b"EHLO":     (None,   None,  None,    None,    None,    _QUIT),
    b"MAIL":     (_HELLO, None,  _NESTED, _NESTED, _CHUNK,  _QUIT),
    b"RCPT":     (_HELLO, _MAIL, None,    None,    _CHUNK,  _QUIT),
    b"DATA":     (_HELLO, _MAIL, _RCPT,   None,    _CHUNK,  _QUIT),
    b"BDAT":     (_HELLO, _MAIL, _RCPT,   None,    None,    _QUIT),
    b"AUTH":     (_HELLO, None,  _OPEN,   _OPEN,   _OPEN,   _QUIT),
    b"STARTTLS": (_HELLO, None,  None,    None,    None,    _QUIT),
    b"RSET":     (None,   None,  None,    None,    None,    _QUIT),
    b"NOOP":     (None,   None,  None,    None,    None,    _QUIT),
    b"HELP":     (None,   None,  None,    None,    None,    _QUIT),
    b"VRFY":     (None,   None,  None,    None,    None,    _QUIT),
    b"EXPN":     (None,   None,  None,    None,    None,    _QUIT),
    b"QUIT":     (None,   None,  None,    None,    None,    None),
}  # fmt: skip
"""The refusal of each command in each phase. RFC 5321 §4.1.4 lets NOOP, HELP, VRFY, EXPN and RSET
come at any time; RFC 3030 §3 forbids DATA among BDAT; RFC 4954 §4 forbids AUTH in a transaction."""
