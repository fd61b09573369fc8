"""What a client is told when its mail is not taken: the cause first, then who can mend it.

Enhanced codes: RFC 3463, RFC 5248 (the registry), RFC 7372 (SPF, DKIM, reverse DNS, several at
once), RFC 7505 (null MX). The text goes to
people outside, by their own server's bounce: plain words, no abbreviation that needs explaining.
"""

from postern.mail.finding import Finding, Result, Whose
from postern.mail.reply import Reply
from postern.policy.rules.rule import FOR_NOW, family_of

_CODES = {
    "ptr.missing": "7.25",
    "ptr.mismatch": "7.25",
    "mailfrom.no-domain": "1.8",
    "mailfrom.no-mx": "7.27",
    "mailfrom.dns-timeout": "4.3",
    "spf.fail": "7.23",
    "spf.softfail": "7.23",
    "spf.couldnt-tell": "7.24",
    "dkim.fail": "7.20",
    "dmarc.reject": "7.26",
    "dmarc.quarantine": "7.26",
    "standards.early-talk": "5.1",
    "loop.detected": "4.6",
    "rcpt.unknown": "1.1",
    "system.overloaded": "3.2",
    "auth.failed": "7.8",
    "standards.header": "6.0",
    "standards.long-line": "6.0",
    "standards.bare-lf": "6.0",
    "virus.couldnt-tell": "3.0",
    "spam.couldnt-tell": "3.0",
    "command.couldnt-tell": "3.0",
    "quota.full": "2.2",
    "size.too-big": "3.4",
}
"""The two last digits; where a check is not here, "security" (RFC 3463 §3.8)."""
_OTHER = "7.1"
_NOT_TOLD = "4.3"
"""A "couldn't tell" that has no code of its own: the directory did not answer."""

_MENDERS = {
    "standards.early-talk": "Whoever runs your mail server can fix this."
    " Nothing is wrong with your message.",
    "ptr": "Your mail provider can fix this. Nothing is wrong with your message.",
    "dmarc": "Whoever looks after the sender's domain and its mail servers can fix this.",
    "helo": "Whoever runs your mail server can fix this. Nothing is wrong with your message.",
    "dnsbl": "Whoever runs your mail server can ask that list to take it off.",
    "mailfrom": "Whoever looks after your domain's DNS can fix this.",
    "spf": "Whoever looks after your domain's DNS can fix this.",
    "greylist": "Your server will try again by itself; there is nothing to do.",
    "rate": "Your server will try again by itself; there is nothing to do.",
    "content": "Its sender can send it in another form, or put it where it can be fetched.",
    "virus": "Look at the machine it was sent from: without that part it will be taken.",
    "rule": "The recipient decided so. postmaster@ that domain can be written to.",
}
_UNSCANNED = {
    "virus.couldnt-tell": "the message could not be checked for viruses",
    "spam.couldnt-tell": "the message could not be checked for spam",
    "command.couldnt-tell": "the message could not be checked by this server's own scanner",
}
"""Why, stands in our own record: the state of our machine is no stranger's business."""
_OURS = "This is our trouble, not yours: your server will try again by itself."
_BETWEEN = "Your server will try again by itself; there is nothing to do."


def answer(finding: Finding, *, for_now: bool, link: str = "") -> Reply:
    """The reply that refuses because of ``finding``; ``for_now``: the same mail may come again.

    ``link``: where strangers can read more, the trace code goes behind it; empty: nowhere.
    """
    code = 450 if for_now else 550
    detail = _CODES.get(finding.check, _OTHER)
    if finding.result is Result.COULDNT_TELL:
        code, detail = 451, _CODES.get(finding.check, _NOT_TOLD)
    enhanced = f"{code // 100}.{detail}"
    head = "Not accepted now" if for_now else "Not accepted"
    text = _UNSCANNED.get(finding.check, finding.text)
    return Reply(code, enhanced, (f"{head}: {text}.", _mender(finding)), link)


def _mender(finding: Finding) -> str:
    if finding.whose is Whose.US:
        return _OURS
    if finding.result is Result.COULDNT_TELL or finding.check in FOR_NOW:
        return _BETWEEN
    mender = _MENDERS.get(finding.check) or _MENDERS.get(family_of(finding.check))
    return mender or "Whoever sent it can find out more from us."
