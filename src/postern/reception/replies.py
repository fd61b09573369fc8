"""What a session says by itself, word for word: what happened, and what to do about it."""

from postern.mail.reply import reply

SENDER_OK = reply(250, "2.1.0", "Sender ok")
GO_AHEAD = reply(354, "", "")
"""The machine says the words."""
ACCEPTED = reply(250, "2.0.0", "Accepted")
START_TLS = reply(220, "2.0.0", "Ready for TLS")
SIGNED_IN = reply(235, "2.7.0", "You are signed in")
CANNOT_VERIFY = reply(252, "2.1.5", "We don't tell who is here; send the mail and see")

WRONG = reply(535, "5.7.8", "Name or password is wrong; use your whole mail address as the name")
WRONG_TOO_OFTEN = reply(421, "4.7.0", "Name or password was wrong too often; goodbye")
AUTH_BUSY = reply(454, "4.7.0", "We could not check your password just now; try again in a moment")
SIGN_IN_FIRST = reply(530, "5.7.0", "Sign in first: this port is for our own users")
TLS_FIRST = reply(530, "5.7.0", "Say STARTTLS first: this port wants encryption")
TOO_MANY_UNKNOWN = reply(421, "4.7.0", "Too many recipients were not accepted; goodbye")
TOO_MANY_PLACES = reply(
    452, "4.5.3", "This message goes to too many places already; send the rest in a new message"
)
OTHER_RULES = reply(
    452, "4.5.3", "Too many recipients with different rules; send the message again for this one"
)

NO_ROOM = reply(452, "4.3.1", "Our disk is nearly full; nothing is lost, please try again later")
HELD_FULL = reply(
    452,
    "4.2.2",
    "Not accepted now: what is held for a recipient is at its limit; please try again later",
)
NOT_STORED = reply(451, "4.3.0", "Not accepted for now: our disk could not take the message")
NO_DATABASE = reply(451, "4.3.0", "Not accepted for now: our database does not answer")
OUR_ERROR = reply(451, "4.3.0", "We met an error of our own; please try again")
BROKEN = reply(421, "4.3.0", "We met an error of our own; please come back in a moment")
HEADER_TOO_LONG = reply(552, "5.3.4", "Not accepted: the header is longer than 256 kB")

IDLE = reply(421, "4.4.2", "You said nothing for too long; goodbye")
TOO_LONG = reply(421, "4.4.2", "This connection has been open for too long; goodbye")
RESTARTING = reply(421, "4.3.2", "This server is restarting; please come back in a moment")
NO_PROXY_HEADER = reply(421, "4.7.0", "This port expects a PROXY header, and none came")
NO_CERTIFICATE = reply(421, "4.3.5", "This port needs TLS, and the server has no certificate yet")
