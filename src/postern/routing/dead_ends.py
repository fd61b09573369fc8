"""The words for every way that mail cannot go: code, sentence, cause, and whose it is."""

from collections.abc import Sequence

from postern.mail.dns import Answer
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.reply import reply
from postern.mail.route import NoRoute
from postern.routing.group import own_name


def no_such_mailbox(address: str, group: str) -> NoRoute:
    """The mailbox was there when the mail was taken, and is no more."""
    text = f"There is no mailbox {address} here any more"
    return _refused(group, 550, "5.1.1", text, Cause.NO_MAILBOX, Whose.RECIPIENT)


def no_domain(domain: str) -> NoRoute:
    """NXDOMAIN."""
    text = f"The domain {domain} does not exist"
    return _refused(own_name(domain), 550, "5.1.2", text, Cause.NO_DOMAIN, Whose.SENDER)


def null_mx(domain: str) -> NoRoute:
    """The domain says that it takes no mail (RFC 7505 §3, RFC 7505 §4, RFC 7504 §4)."""
    text = f"The domain {domain} takes no mail (null MX)"
    return _refused(own_name(domain), 556, "5.1.10", text, Cause.NO_MAIL_HOST, Whose.RECIPIENT)


def no_mail_host(domain: str) -> NoRoute:
    """The domain exists, with neither MX nor an address of a kind we look for."""
    text = f"The domain {domain} has neither a mail host (MX) nor an address"
    return _refused(own_name(domain), 550, "5.4.4", text, Cause.NO_MAIL_HOST, Whose.RECIPIENT)


def no_host_has_address(domain: str, group: str) -> NoRoute:
    """Every MX host is known to have no address: an error by RFC 5321 §5.1, not a reason to try A.

    Postfix bounces this with 5.4.4 too.
    """
    text = f"None of the mail hosts of {domain} has an address"
    return _refused(group, 550, "5.4.4", text, Cause.NO_MAIL_HOST, Whose.RECIPIENT)


def only_ipv6(domain: str, group: str) -> NoRoute:
    """There may be IPv6 addresses, and this server was told not to use them."""
    text = f"The mail hosts of {domain} have no IPv4 address, and this server sends over IPv4 alone"
    return _refused(group, 550, "5.4.4", text, Cause.NO_MAIL_HOST, Whose.US)


def loop(domain: str, group: str, hostname: str) -> NoRoute:
    """No MX host is better than ourselves, and the domain is not ours (RFC 5321 §5.1)."""
    text = f"DNS says that {hostname} is the mail host of {domain}, which is not set up here"
    return _refused(group, 554, "5.4.6", text, Cause.LOOP, Whose.US)


def bad_literal(literal: str) -> NoRoute:
    """An address literal that is no IP address."""
    text = f"{literal} is not an IP address"
    return _refused(literal, 550, "5.1.2", text, Cause.NO_MAIL_HOST, Whose.SENDER)


def literal_not_allowed(literal: str) -> NoRoute:
    """Mail to this address literal does not leave here."""
    text = f"Mail to the address {literal} in place of a domain is not sent from here"
    return _refused(literal, 550, "5.7.1", text, Cause.NO_MAIL_HOST, Whose.SENDER)


def dns_silent(what: str, group: str) -> NoRoute:
    """Couldn't tell: SERVFAIL or timeout."""
    text = f"DNS does not answer for {what}"
    return _deferred(group, "4.4.3", text, Cause.DNS, Whose.BETWEEN)


def not_confirmed(domain: str, answer: Answer) -> NoRoute:
    """Couldn't tell: one resolver found nothing there, and another could not confirm it."""
    text = (
        f"DNS is not sure of {domain}: {answer.denied_by} found no mail host,"
        f" and {answer.resolver} could not confirm that"
    )
    return _deferred(own_name(domain), "4.4.3", text, Cause.DNS, Whose.BETWEEN)


def dane_untold(domain: str, host: str, group: str) -> NoRoute:
    """Couldn't tell whether a host has TLSA records: without knowing, nothing goes there."""
    text = (
        f"DNS does not tell how mail for {domain} must be protected (the TLSA records of {host}),"
        " so it waits"
    )
    return _deferred(group, "4.4.3", text, Cause.DNS, Whose.BETWEEN)


def not_in_policy(domain: str, group: str, hosts: Sequence[str]) -> NoRoute:
    """None of the hosts in DNS is one that the domain's policy allows (RFC 8461 §5.1)."""
    named = ", ".join(hosts[:3]) + (" and others" if len(hosts) > 3 else "")
    text = (
        f"The mail hosts of {domain} in DNS ({named}) are not those that its policy allows"
        " (MTA-STS, enforce), so the mail waits until the two agree"
    )
    return _deferred(group, "4.7.5", text, Cause.TLS, Whose.RECIPIENT)


def fixed_host_missing(what: str, group: str, whose: Whose) -> NoRoute:
    """A relay or gateway that somebody wrote down has no address.

    Deferred, although DNS is sure: the mistake is in a setting, and the mail need not pay for it.
    """
    text = f"The host {what} has no address in DNS"
    return _deferred(group, "4.4.4", text, Cause.NO_MAIL_HOST, whose)


def fixed_host_is_us(what: str, group: str) -> NoRoute:
    """A relay or gateway that somebody wrote down is this server."""
    text = f"The host {what} is this server itself"
    return _deferred(group, "4.4.6", text, Cause.LOOP, Whose.US)


def no_address_for_source(egress: str, group: str) -> NoRoute:
    """All addresses are of the family that the egress cannot send from."""
    text = f"The mail hosts have no address that can be reached from egress {egress}"
    return _deferred(group, "4.4.4", text, Cause.NO_MAIL_HOST, Whose.US)


def no_egress(name: str, group: str) -> NoRoute:
    """The egress that was asked for is not configured."""
    text = f"There is no egress named {name} in postern.toml"
    return _deferred(group, "4.3.5", text, Cause.NO_EGRESS, Whose.US)


def no_domain_given(group: str) -> NoRoute:
    """An address without domain (the bare postmaster) that the directory did not place."""
    text = "The address has no domain, and nobody here receives its mail"
    return _deferred(group, "4.3.5", text, Cause.LOCAL, Whose.US)


def _refused(
    group: str, code: int, enhanced: str, text: str, cause: Cause, whose: Whose
) -> NoRoute:
    return NoRoute(group, Refused(reply(code, enhanced, text), cause, whose=whose))


def _deferred(group: str, enhanced: str, text: str, cause: Cause, whose: Whose) -> NoRoute:
    return NoRoute(group, Deferred(reply(451, enhanced, text), cause, whose=whose))
