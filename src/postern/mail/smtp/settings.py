"""What one listener offers and allows, with the greeting and EHLO replies that follow from it."""

from dataclasses import dataclass, field

from postern.mail.reply import Reply

MAX_COMMAND_BYTES = 2048
"""One command line with its CR LF: RFC 5321's 512 and the room SIZE, DSN, SMTPUTF8 and AUTH add."""
MAX_AUTH_BYTES = 12_288
"""One line of an authentication exchange (RFC 4954 §4)."""
MAX_LINE_BYTES = 65_536
"""A line that has no end by then is not SMTP; the connection is closed."""
MAX_BACKLOG_BYTES = 1_048_576
"""Most that is kept while an answer is awaited; sessions pause reading long before."""
REQUIRETLS = "REQUIRETLS"
"""Offered once TLS is active, and never in clear (RFC 8689 §2)."""
BODY_PIECE_BYTES = 65_536
"""Most that one ``BodyData`` carries."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How one listener speaks.

    ``max_commands`` counts from the greeting, or from the last message that was accepted;
    ``max_errors`` and ``max_mails`` count over the whole connection. ``offer_auth`` shows only
    once TLS is active. ``normalise_bare_newlines`` is for submission: a bare CR or LF in a message
    is stored as CR LF; it never loosens what ends the data, nor what ends a command. ``prdr``: an
    answer for each recipient is offered (draft-hall-prdr).
    """

    hostname: str
    max_message_bytes: int = 52_428_800
    max_recipients: int = 1000
    max_mails: int = 10_000
    max_errors: int = 20
    max_commands: int = 10_000
    offer_starttls: bool = False
    offer_auth: bool = False
    smtputf8: bool = True
    chunking: bool = True
    normalise_bare_newlines: bool = False
    prdr: bool = False

    # Encoded once, since every connection is sent them.
    greeting: bytes = field(init=False, repr=False, compare=False)
    helo: bytes = field(init=False, repr=False, compare=False)
    ehlo_clear: bytes = field(init=False, repr=False, compare=False)
    ehlo_tls: bytes = field(init=False, repr=False, compare=False)
    ehlo_authenticated: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        offers = self._offers()
        starttls = ("STARTTLS",) if self.offer_starttls else ()
        auth = ("AUTH PLAIN LOGIN",) if self.offer_auth else ()
        for name, reply in (
            ("greeting", Reply(220, "", (f"{self.hostname} ESMTP Postern",))),
            ("helo", Reply(250, "", (self.hostname,))),
            ("ehlo_clear", Reply(250, "", (self.hostname, *offers, *starttls))),
            ("ehlo_tls", Reply(250, "", (self.hostname, *offers, REQUIRETLS, *auth))),
            ("ehlo_authenticated", Reply(250, "", (self.hostname, *offers, REQUIRETLS))),
        ):
            object.__setattr__(self, name, reply.encode())

    def ehlo(self, *, tls: bool, authenticated: bool) -> bytes:
        """The EHLO reply, encoded, for a connection in this state."""
        if authenticated:
            return self.ehlo_authenticated
        return self.ehlo_tls if tls else self.ehlo_clear

    def _offers(self) -> tuple[str, ...]:
        """Keywords that are offered in every state; LIMITS as in RFC 9422."""
        return (
            "PIPELINING",
            f"SIZE {self.max_message_bytes}",
            "8BITMIME",
            *(("SMTPUTF8",) if self.smtputf8 else ()),
            *(("CHUNKING",) if self.chunking else ()),
            "DSN",
            *(("PRDR",) if self.prdr else ()),
            "ENHANCEDSTATUSCODES",
            f"LIMITS MAILMAX={self.max_mails} RCPTMAX={self.max_recipients}",
            "HELP",
        )
