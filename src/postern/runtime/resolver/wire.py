"""Questions to octets, octets to answers; what a response may claim is checked here.

dnspython builds and parses the messages; what they mean is decided here, so that a name that does
not exist, a name without such records and a server that couldn't tell never melt into one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.TXT
import dns.rdtypes.tlsabase
import dns.rrset

from postern.mail.dns import Answer, Question, Status

EDNS_PAYLOAD_BYTES = 1232
"""Fits any path without fragments (DNS flag day 2020)."""
MAX_POSITIVE_TTL_S = 86_400
MAX_NEGATIVE_TTL_S = 3_600
"""RFC 2308 §5 asks for a limit of one to three hours."""
MAX_CHAIN = 8


class Unfit(Enum):
    """Octets that are no answer."""

    NOT_OURS = "not ours"  # other id or question, not a response, or not DNS at all
    TRUNCATED = "truncated"  # ask again over TCP


@dataclass(frozen=True, slots=True)
class Query:
    """A question made ready to be sent."""

    question: Question
    message: dns.message.QueryMessage
    wire: bytes


def query_for(question: Question) -> Query | Answer:
    """A query with a fresh random id, or the answer where no server need be asked.

    A name that DNS cannot hold (a label over 63 octets, an empty one) does not exist: that is a
    fact. A question that we put wrongly (letters beyond ASCII, an unknown type) tells nothing.
    """
    try:
        labels = question.name.encode("ascii").split(b".") if question.name else []
        rdtype = dns.rdatatype.from_text(question.type)
    except (UnicodeEncodeError, ValueError, dns.exception.DNSException):
        return Answer(question, Status.SERVER_FAILURE)
    try:
        # From labels, not from text: a backslash in a name we were told is not an escape.
        name = dns.name.Name([*labels, b""])
    except dns.exception.DNSException:
        return Answer(question, Status.NO_NAME, ttl_s=MAX_NEGATIVE_TTL_S)
    # AD in a query asks for AD in the answer, without all the signatures (RFC 6840 §5.7).
    message = dns.message.make_query(
        name,
        rdtype,
        use_edns=0,
        payload=EDNS_PAYLOAD_BYTES,
        flags=int(dns.flags.RD | dns.flags.AD),
    )
    return Query(question, message, message.to_wire())


def read_response(query: Query, wire: bytes) -> Answer | Unfit:
    """What ``wire`` answers to ``query``; never raises, whatever ``wire`` holds."""
    if len(wire) < 12 or wire[:2] != query.wire[:2]:
        return Unfit.NOT_OURS
    cut = bool(wire[2] & 0x02)
    try:
        # A cut message may end anywhere; its question is all that is looked at.
        response = dns.message.from_wire(wire, question_only=cut, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return Unfit.NOT_OURS
    if not query.message.is_response(response):
        return Unfit.NOT_OURS
    return Unfit.TRUNCATED if cut else _weigh(query, response)


def _weigh(query: Query, response: dns.message.Message) -> Answer:
    question = query.question
    rcode = response.rcode()
    if rcode not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return Answer(question, Status.SERVER_FAILURE)
    secure = bool(response.flags & dns.flags.AD)
    found, ttl_s, hops = _follow(query, response)
    if hops > MAX_CHAIN:
        return Answer(question, Status.SERVER_FAILURE)
    if found is not None:
        records = tuple(_text_of(rdata) for rdata in found)
        canonical = _host(found.name) if hops else ""
        return Answer(question, Status.OK, records, ttl_s, secure, canonical=canonical)
    if rcode != dns.rcode.NXDOMAIN and _is_lame(response, hops):
        return Answer(question, Status.SERVER_FAILURE)
    # NXDOMAIN speaks of the last name of a chain (RFC 6604 §3); what the first leads to does not
    # exist either way.
    status = Status.NO_NAME if rcode == dns.rcode.NXDOMAIN else Status.NO_DATA
    return Answer(question, status, (), min(ttl_s, _negative_ttl_s(response)), secure)


def _follow(query: Query, response: dns.message.Message) -> tuple[dns.rrset.RRset | None, int, int]:
    """The records at the end of the CNAME chain, the lowest TTL on the way, and its length."""
    asked = query.message.question[0]
    name, ttl_s = asked.name, MAX_POSITIVE_TTL_S
    for hops in range(MAX_CHAIN + 1):
        found = response.get_rrset(response.answer, name, dns.rdataclass.IN, asked.rdtype)
        if found is not None and len(found):
            return found, min(ttl_s, found.ttl), hops
        alias = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias is None or not len(alias):
            return None, ttl_s, hops
        ttl_s = min(ttl_s, alias.ttl)
        name = alias[0].target
    return None, ttl_s, MAX_CHAIN + 1


def _is_lame(response: dns.message.Message, hops: int) -> bool:
    """Whether an empty answer only shows that this server does not know.

    A server that does not recurse sends a referral, or stops where a CNAME leaves its zones.
    """
    if response.flags & dns.flags.RA:
        return False
    return hops > 0 or not response.flags & dns.flags.AA


def _negative_ttl_s(response: dns.message.Message) -> int:
    """How long "no" may be kept: the SOA's TTL and minimum, or 0 without one (RFC 2308 §5)."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset):
            return int(min(rrset.ttl, rrset[0].minimum, MAX_NEGATIVE_TTL_S))
    return 0


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _mx(rdata: dns.rdata.Rdata) -> str:
    assert isinstance(rdata, dns.rdtypes.ANY.MX.MX)
    return f"{rdata.preference} {_host(rdata.exchange)}"


def _txt(rdata: dns.rdata.Rdata) -> str:
    assert isinstance(rdata, dns.rdtypes.ANY.TXT.TXT)
    return b"".join(rdata.strings).decode("latin-1")


def _tlsa(rdata: dns.rdata.Rdata) -> str:
    assert isinstance(rdata, dns.rdtypes.tlsabase.TLSABase)
    return f"{rdata.usage} {rdata.selector} {rdata.mtype} {rdata.cert.hex()}"


_TEXTS: dict[int, Callable[[dns.rdata.Rdata], str]] = {
    dns.rdatatype.MX: _mx,
    dns.rdatatype.TXT: _txt,
    dns.rdatatype.TLSA: _tlsa,
}
_NAMES = {dns.rdatatype.PTR, dns.rdatatype.CNAME, dns.rdatatype.NS}


def _text_of(rdata: dns.rdata.Rdata) -> str:
    if rdata.rdtype in _NAMES:
        return rdata.to_text().removesuffix(".").lower()
    as_text = _TEXTS.get(rdata.rdtype)
    return rdata.to_text() if as_text is None else as_text(rdata)
