"""May this client begin a message, and is its sender its own."""

from dataclasses import dataclass

from postern.directory.freezes import Freeze
from postern.directory.reader import Account
from postern.mail.envelope import Sender
from postern.mail.finding import Finding, Result, Whose
from postern.mail.message.header import HeaderScan
from postern.mail.message.mailbox import parse_mailboxes
from postern.mail.reply import Reply, reply
from postern.reception import replies
from postern.reception.client import Client
from postern.reception.services import Services


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was found, and what the client is told."""

    finding: Finding
    reply: Reply


def sender_refusal(services: Services, client: Client, sender: Sender) -> Refusal | None:
    """Why this client may not begin a message from ``sender`` now, or None."""
    if client.must_log_in:
        finding = Finding("rcpt.relay-denied", Result.FAIL, "the client has not signed in")
        return Refusal(finding, replies.SIGN_IN_FIRST if client.tls else replies.TLS_FIRST)
    if not services.spool.space.may_accept():
        return Refusal(_by_us("our disk is nearly full"), replies.NO_ROOM)
    address, account = sender.address, client.account
    freeze = None if account is None else services.frozen.of(account.address)
    if freeze is not None:
        return _frozen(freeze)
    # MDNs and other automatic replies of our users come from <> (RFC 8098 §3).
    if account is None or address is None or services.may_send_as(account, address):
        return None
    text = f"{account.address} may not send as {address}"
    return _mismatch(
        text, reply(553, "5.7.1", f"Not accepted: {text}; it is none of its addresses")
    )


def _frozen(freeze: Freeze) -> Refusal:
    text = f"{freeze.account} may send nothing for now"
    reason = freeze.temporary.reason
    why = f": {reason}" if reason.isascii() else ""  # a reply is ASCII
    told = reply(450, "4.7.1", f"Not accepted for now: {text}{why}; ask your postmaster")
    return Refusal(Finding("rate.exceeded", Result.FAIL, f"{text}: {reason}"), told)


def leaving_refusal() -> Refusal:
    """The server stops: no new message."""
    return Refusal(_by_us("this server is restarting"), replies.RESTARTING)


def author_refusal(services: Services, account: Account, head: bytes) -> Refusal | None:
    """Why ``account`` may not send what its From header says, or None.

    People see the From header and never the envelope, so both are bound. An empty From says
    nothing; one that is no list of addresses, or comes twice, says different things to different
    programs, and is refused (RFC 6409 §6.1, §8; RFC 5322 §3.6).
    """
    values = [value for value in HeaderScan(head).all(b"from") if value.strip()]
    if len(values) > 1:
        return _author_refused(f"{account.address} sent a message with {len(values)} From headers")
    for value in values:
        authors = parse_mailboxes(value)
        if authors is None:
            return _author_refused("the From header is not a proper list of mail addresses")
        for author in authors:
            if not services.may_send_as(account, author):
                text = f"{account.address} may not send as {author}, which the From header names"
                return _author_refused(text)
    return None


def _author_refused(text: str) -> Refusal:
    return _mismatch(text, reply(550, "5.7.1", f"Not accepted: {text}"))


def _mismatch(text: str, told: Reply) -> Refusal:
    return Refusal(Finding("auth.sender-mismatch", Result.FAIL, text), told)


def _by_us(text: str) -> Finding:
    return Finding("system.overloaded", Result.COULDNT_TELL, text, Whose.US)
