"""rspamd: a spam score over HTTP, ``/checkv2``, with the envelope in the request's header.

Source: rspamd's protocol documentation ("HTTP request", "HTTP reply").
"""

from collections.abc import Iterator

import msgspec

from postern.policy.scanners.http import Field, Response, request
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Answer, Clean, Score, Specimen, Untold, printable
from postern.policy.scanners.scoring import judge_score

MAX_RECIPIENTS = 100
"""Recipients it is told of; a request's header is bounded."""
SPAM_ACTIONS = frozenset({"add header", "rewrite subject", "reject"})
"""What rspamd would do with spam; "greylist" and "soft reject" are no word on the message."""


class _Symbol(msgspec.Struct):
    score: float = 0.0


class _Reply(msgspec.Struct):
    """What is read of its answer."""

    score: float | None = None
    required_score: float = 0.0
    action: str = ""
    is_skipped: bool = False
    symbols: dict[str, _Symbol] = {}
    error: str = ""


class Rspamd:
    """One rspamd; ``threshold`` None: its own actions decide."""

    def __init__(self, place: Place, threshold: float | None) -> None:
        self._place = place
        self._threshold = threshold

    async def scan(self, specimen: Specimen) -> Answer:
        """Its score, and the symbols that made it."""
        fields = list(fields_of(specimen))
        response = await request(self._place, "POST", "/checkv2", fields, specimen.content)
        return answer_of(response, self._threshold)

    async def ping(self) -> Untold | None:
        """It says pong."""
        response = await request(self._place, "GET", "/ping", ())
        if response.status == 200 and response.body.strip() == b"pong":
            return None
        return Untold("it answered strangely", f"{response.status} {printable(response.body)}")


def fields_of(specimen: Specimen) -> Iterator[Field]:
    """The envelope as rspamd wants it."""
    yield "From", specimen.mail_from
    for recipient in specimen.recipients[:MAX_RECIPIENTS]:
        yield "Rcpt", recipient
    known = {
        "IP": specimen.ip,
        "Helo": specimen.helo,
        "Hostname": specimen.ptr,
        "User": specimen.user,
        "Queue-Id": specimen.trace,
        "MTA-Name": specimen.hostname,
    }
    yield from ((name, text) for name, text in known.items() if text)


def answer_of(response: Response, threshold: float | None) -> Answer:
    """What rspamd's answer comes to."""
    if response.status != 200:
        detail = f"{response.status} {printable(response.body)}"
        return Untold("it could not look at it", detail, is_ailing=response.status >= 500)
    try:
        reply = msgspec.json.decode(response.body, type=_Reply)
    except (msgspec.DecodeError, RecursionError):
        return Untold("it answered strangely", printable(response.body))
    if reply.is_skipped:
        return Clean("it did not look at it, as it is set up")
    if reply.score is None:
        return Untold("it could not look at it", printable(reply.error or response.body))
    weighty = sorted(reply.symbols, key=lambda name: -abs(reply.symbols[name].score))
    symbols = tuple(name for name in weighty if reply.symbols[name].score)
    if threshold is None:
        score = Score(reply.score, reply.required_score, symbols)
        is_spam = reply.action in SPAM_ACTIONS
    else:
        score = Score(reply.score, threshold, symbols)
        is_spam = reply.score >= threshold
    return judge_score(score, is_spam=is_spam, action=printable(reply.action, 40))
