"""AUTH: who is it that signs in."""

import structlog

from postern.directory.credentials import BadCredentials, CouldntTell
from postern.directory.reader import Account
from postern.mail.finding import Finding, Result, Whose
from postern.mail.reply import Reply
from postern.mail.smtp.events import Credentials
from postern.reception import replies
from postern.reception.client import Client
from postern.reception.record import Record
from postern.reception.services import Services

log = structlog.get_logger("postern.reception")

MAX_WRONG = 5
"""Wrong passwords on one connection: a person's program gives up sooner, a guesser does not."""
_SHOWN_CHARS = 100


async def sign_in(
    services: Services, client: Client, record: Record, event: Credentials, trace: str
) -> Reply:
    """Check name and password; when they are right, ``client`` has its account afterwards."""
    started = services.clock.monotonic()
    wants_other = event.authorize_as.casefold() not in {"", event.username.casefold()}
    found = (
        BadCredentials()  # signing in as one to act as another (RFC 4616 §2) is nobody's right here
        if wants_other
        else await services.authenticator.authenticate(event.username, event.password)
    )
    seconds = services.clock.monotonic() - started
    name = event.username[:_SHOWN_CHARS]
    match found:
        case Account():
            client.account = found
            record.opening("auth", Result.PASS, seconds, str(found.address))
            return replies.SIGNED_IN
        case BadCredentials():
            client.wrong_logins += 1
            text = f"the name or password was wrong when {name} signed in"
            finding = Finding("auth.failed", Result.FAIL, text, Whose.SENDER, seconds)
            record.refused(finding, trace)
            return replies.WRONG if client.wrong_logins < MAX_WRONG else replies.WRONG_TOO_OFTEN
        case CouldntTell(text=cause):
            log.warning("auth.couldnt-tell", rip=client.ip, reason=cause)
            text = f"the password of {name} could not be checked just now"
            finding = Finding("auth.couldnt-tell", Result.COULDNT_TELL, text, Whose.US, seconds)
            record.refused(finding, trace)
            return replies.AUTH_BUSY
