"""Why mail waits, in words, and the heap each waiting delivery belongs on."""

import re

from postern.mail.outcome import Cause
from postern.routing.group import LOCAL
from postern.spool.message import Delivery

MAX_REPLY_CHARS = 70

_WORDS = {
    Cause.REFUSED: "{group}: connection refused",
    Cause.SILENT: "{group}: no answer",
    Cause.RESET: "{group}: connection cut off",
    Cause.CLOSED: "{group}: hung up without an answer",
    Cause.LOST_AFTER_DOT: "{group}: cut off before the last answer; it may have arrived",
    Cause.TLS: "{group}: no safe encryption could be agreed on",
    Cause.UNENCRYPTED: "{group}: must be encrypted, and none of their servers offers TLS",
    Cause.DNS: "DNS couldn't tell where mail for {group} goes",
    Cause.NEEDS: "{group}: their server lacks something the message needs",
    Cause.PROTOCOL: "{group}: what answers does not speak SMTP",
    Cause.LOCKED_OUT: "{group}: our relay does not take our login, or mail from us",
    Cause.LOCAL: "our own mail store had trouble",
    Cause.BUG: "an error of Postern's own",
}
_SAYINGS = {
    "reply.wait": "their server asks us to wait",
    "reply.busy": "their server is busy",
}
NOT_TRIED = "not tried yet"
FIRST_TRY = "first try under way"
HOLDS_OPEN = "holds connections open"
NETWORK = frozenset({Cause.REFUSED, Cause.SILENT, Cause.RESET, Cause.CLOSED, Cause.TLS})
"""Nothing got through, as far as these tell."""
NETWORK_KINDS = frozenset(cause.value for cause in NETWORK)

_FULL = re.compile(r"^[45]52\b|^[45]\d\d [45]\.2\.2|quota|mailbox (?:is )?full", re.IGNORECASE)
_WAIT = re.compile(r"gr[ae]y.?list|^45[01] 4\.7\.1\b", re.IGNORECASE)
_THROTTLED = re.compile(r"^421\b|^4\d\d 4\.7\.")
_BUSY = re.compile(r"^421|^4\d\d 4\.3\.2|^4\d\d 4\.7\.28|too many", re.IGNORECASE)
_CODES = re.compile(r"^(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))?")


def is_greylisting(reply: str) -> bool:
    """Whether a 4xx reply asks a stranger to come back a little later, as RFC 6647 has it."""
    return reply.startswith("4") and _WAIT.search(reply) is not None


def is_throttling(reply: str) -> bool:
    """Whether a reply is of the kind that asks for less: 421 (RFC 5321 §3.8), or 4.7.x."""
    return _THROTTLED.match(reply) is not None


def kind_of(delivery: Delivery) -> str:
    """What keeps a delivery, as a key: one for each sentence of ``words``."""
    if not delivery.cause:
        return ""
    if delivery.cause != Cause.REPLY.value:
        return delivery.cause
    reply = delivery.last_reply
    for kind, pattern in (("full", _FULL), ("wait", _WAIT), ("busy", _BUSY)):
        if pattern.search(reply):
            return f"reply.{kind}"
    found = _CODES.match(reply)
    return f"reply {found.group()}" if found else "reply"


def words(kind: str, group: str, delivery: Delivery, others: int) -> str:
    """One sentence for a heap.

    Args:
        kind: of ``kind_of``, or ``group.slow`` and ``group.suspended`` for how its group stands.
        group: its MX group.
        delivery: any one of the heap, for what was said to it.
        others: how many further recipients the heap has.
    """
    place = group if group not in {"", LOCAL} else str(delivery.recipient.address)
    more = f" and {others} more" if others else ""
    if not kind:
        return NOT_TRIED
    if kind == "group.slow":
        return f"{place} {HOLDS_OPEN}"
    if kind == "group.suspended":
        return f"{place}: suspended"
    if kind == "reply.full":
        return f"mailbox full: {delivery.recipient.address}{more}"
    if kind == Cause.LIMIT.value:
        return _without_codes(delivery.last_reply)
    if kind == Cause.NO_EGRESS.value:
        return f"{place}: {_without_codes(delivery.last_reply)}"
    if kind in _SAYINGS:
        return f"{place}: {_SAYINGS[kind]}"
    if kind.startswith("reply"):
        reply = delivery.last_reply
        cut = reply if len(reply) <= MAX_REPLY_CHARS else reply[: MAX_REPLY_CHARS - 3] + "..."
        return f"{place}: {cut}"
    try:
        return _WORDS[Cause(kind)].format(group=place)
    except (KeyError, ValueError):
        return f"{place}: {kind}"


def _without_codes(reply: str) -> str:
    """What was said, begun as the second half of a sentence."""
    text = _CODES.sub("", reply, count=1).strip()
    return text[:1].lower() + text[1:]
