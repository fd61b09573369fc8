"""What a session says by itself, word for word: what happened, and what to do about it."""

from postern.mail.reply import reply

SENDER_OK = reply(250, "2.1.0", "Sender ok")
GO_AHEAD = reply(354, "", "")
"""The machine says the words."""
START_TLS = reply(220, "2.0.0", "Ready for TLS")
SIGNED_IN = reply(235, "2.7.0", "You are signed in")
WRONG = reply(535, "5.7.8", "Name or password is wrong; use your whole mail address as the name")
AUTH_BUSY = reply(454, "4.7.0", "We could not check your password just now; try again in a moment")
SIGN_IN_FIRST = reply(530, "5.7.0", "Sign in first: this port is for our own users")
TLS_FIRST = reply(530, "5.7.0", "Say STARTTLS first: this port wants encryption")
NO_ROOM = reply(452, "4.3.1", "Our disk is nearly full; nothing is lost, please try again later")
CANNOT_VERIFY = reply(252, "2.1.5", "We don't tell who is here; send the mail and see")
OUR_ERROR = reply(451, "4.3.0", "We met an error of our own; please try again")
LEAVING = reply(421, "4.3.2", "This server is restarting; please try again in a moment")
