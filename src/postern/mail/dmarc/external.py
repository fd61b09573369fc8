"""May reports about one domain go to an address in another? Only if that one says so.

Without asking, anybody could have the world's receivers flood a victim with reports. The victim's
consent is a record at ``DOMAIN._report._dmarc.HOST``; it may name another address on the same host.

Source: RFC 9990 §4; RFC 9989 §11.6 (failure reports as well).
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.dmarc.names import MAX_NAME_BYTES, domain_key
from postern.mail.dmarc.record import Record, ReportUri, parse_record
from postern.mail.dmarc.tree import Tree, surely_one
from postern.mail.dns import Inquiry, Question


class Report(Enum):
    """Which kind of report, and so which tag of the consenting record overrides."""

    AGGREGATE = "rua"
    FAILURE = "ruf"


class Permission(Enum):
    """Whether an address may be sent reports."""

    OWN = "own"  # the same organisation: nobody to ask
    GRANTED = "granted"
    REFUSED = "refused"
    COULDNT_TELL = "couldnt-tell"


@dataclass(frozen=True, slots=True)
class Destination:
    """The answer, and where reports go instead of or as asked; empty unless OWN or GRANTED."""

    permission: Permission
    uris: tuple[ReportUri, ...] = ()


REFUSED = Destination(Permission.REFUSED)
COULDNT_TELL = Destination(Permission.COULDNT_TELL)


def find_destination(
    policy_domain: str, uri: ReportUri, report: Report = Report.AGGREGATE, tree: Tree | None = None
) -> Inquiry[Destination]:
    """Where reports that a record asks for at ``uri`` may really go.

    Args:
        policy_domain: the name the record was found at.
        uri: one of its addresses.
        report: the kind of report.
        tree: what is known of the tree already; learns.
    """
    domain = domain_key(policy_domain)
    host = domain_key(uri.address.domain) if uri.address is not None else None
    if domain is None or host is None:
        return REFUSED
    if host == domain:
        return Destination(Permission.OWN, (uri,))
    if tree is None:
        tree = Tree()
    yield from tree.look_up([*tree.still_open(domain), *tree.still_open(host)])
    here, there = tree.organisation(domain), tree.organisation(host)
    if surely_one(here, there):
        return Destination(Permission.OWN, (uri,))
    consent = yield from _ask(domain, host, uri, report)
    if consent.permission is Permission.REFUSED and (here.doubts or there.doubts):
        return COULDNT_TELL  # perhaps nobody had to be asked
    return consent


def _ask(domain: str, host: str, uri: ReportUri, report: Report) -> Inquiry[Destination]:
    """Steps 2 to 9 of RFC 9990 §4."""
    name = f"{domain}._report._dmarc.{host}"
    if len(name) > MAX_NAME_BYTES:
        return REFUSED
    (answer,) = yield (Question(name, "TXT"),)
    if not answer.status.is_known:
        return COULDNT_TELL
    consents = [record for text in answer.records if (record := parse_record(text)) is not None]
    if not consents:
        return REFUSED
    overrides = [uris for record in consents if (uris := _overrides(record, report))]
    if any(_host(other) != host for uris in overrides for other in uris):
        return REFUSED  # it points on to somebody else: report to neither
    return Destination(Permission.GRANTED, overrides[0] if overrides else (uri,))


def _overrides(record: Record, report: Report) -> tuple[ReportUri, ...]:
    """The addresses a consenting record puts in place of the one asked about."""
    uris = record.rua if report is Report.AGGREGATE else record.ruf
    return tuple(uri for uri in uris if uri.address is not None)


def _host(uri: ReportUri) -> str | None:
    """The host part of a reporting address; None for schemes without a mailbox."""
    return None if uri.address is None else domain_key(uri.address.domain)
