"""What the server machine says by itself, word for word: kind, specific, with what to do next."""

from postern.mail.reply import reply

OK = reply(250, "2.0.0", "Ok")
RESET = reply(250, "2.0.0", "Forgotten; ready for the next message")
GO_AHEAD = reply(354, "", "Send the message; end it with a dot on a line of its own")
FOR_EACH = reply(353, "", "The message was looked at; an answer for each recipient follows")
GOODBYE = reply(221, "2.0.0", "Goodbye")
HELP = reply(
    214,
    "2.0.0",
    "This is a mail server (SMTP, RFC 5321)",
    "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT",
)

UNKNOWN = reply(500, "5.5.1", "This command is not known here; HELP lists the commands")
NOT_SUPPORTED = reply(502, "5.5.1", "Mailing lists are not expanded here")
NO_ARGUMENT = reply(501, "5.5.4", "This command takes no argument")
NEEDS_ARGUMENT = reply(501, "5.5.4", "Say which address to verify")
LINE_TOO_LONG = reply(500, "5.5.6", "This command line is too long")
LINE_ENDLESS = reply(500, "5.5.6", "This line does not end; closing the connection")
BARE_LF = reply(500, "5.5.2", "A bare LF in a command; every line must end with CR LF")
BARE_CR = reply(500, "5.5.2", "A bare CR in a command; every line must end with CR LF")
NOT_SMTP = reply(500, "5.5.1", "This is a mail server; it speaks neither HTTP nor anything else")
TLS_TOO_EARLY = reply(500, "5.5.1", "TLS without STARTTLS; this port begins in the clear")
BACKLOG = reply(421, "4.7.0", "Too much was sent ahead of our replies")
TOO_MANY_ERRORS = reply(421, "4.7.0", "Too many errors on this connection")
TOO_MANY_COMMANDS = reply(421, "4.7.0", "Too many commands on this connection")
TOO_MANY_MAILS = reply(421, "4.7.0", "Enough messages on this connection; please open a new one")

TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "Too many recipients; send the rest in a new message")
NO_RECIPIENTS = reply(554, "5.5.1", "No recipient was accepted, so there is nobody to send this to")
TOO_BIG_DECLARED = "This message is {size} bytes; at most {limit} are accepted"
TOO_BIG = "The message is bigger than the {limit} bytes accepted here"
BODY_BARE_LF = reply(550, "5.6.0", "A bare LF in the message; every line must end with CR LF")
BODY_BARE_CR = reply(550, "5.6.0", "A bare CR in the message; every line must end with CR LF")
BDAT_SYNTAX = reply(501, "5.5.4", "BDAT needs a number of bytes, and LAST behind the last one")
NO_CHUNKING = reply(502, "5.5.1", "BDAT is not offered here; use DATA")
CHUNK_RECEIVED = "{size} bytes received"

TLS_ACTIVE = reply(503, "5.5.1", "TLS is already active")
NO_STARTTLS = reply(502, "5.5.1", "STARTTLS is not offered here")

AUTH_NEEDS_TLS = reply(538, "5.7.11", "Log in only over TLS; send STARTTLS first")
AUTH_NOT_OFFERED = reply(502, "5.5.1", "AUTH is not offered here")
AUTH_TWICE = reply(503, "5.5.1", "You are already logged in")
AUTH_SYNTAX = reply(501, "5.5.4", "Say AUTH PLAIN or AUTH LOGIN")
AUTH_MECHANISM = reply(504, "5.5.4", "Only AUTH PLAIN and AUTH LOGIN are offered")
AUTH_CANCELLED = reply(501, "5.7.0", "Login cancelled")
AUTH_BAD_BASE64 = reply(501, "5.5.2", "This is not valid base64")
AUTH_BAD_RESPONSE = reply(501, "5.5.2", "The login was not well formed")
AUTH_TOO_LONG = reply(500, "5.5.6", "The login is too long")
