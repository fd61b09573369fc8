"""What a response may claim, read without a network."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.dns import Answer, Question, Status
from postern.runtime.resolver.wire import (
    MAX_NEGATIVE_TTL_S,
    MAX_POSITIVE_TTL_S,
    Query,
    Unfit,
    query_for,
    read_response,
)

SOA = "ns.tea.test. host.tea.test. 1 3600 600 86400 {minimum}"


def asked(name: str = "tea.test", type_: str = "A") -> Query:
    query = query_for(Question(name, type_))
    assert isinstance(query, Query)
    return query


def response(
    query: Query,
    *sections: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    authority: str = "",
    flags: int = dns.flags.RA,
) -> dns.message.Message:
    """A response whose answer section holds ``sections`` (``name ttl type data``)."""
    made = dns.message.make_response(query.message)
    made.flags |= flags
    made.set_rcode(rcode)
    for line in sections:
        made.answer.append(rrset(line))
    if authority:
        made.authority.append(rrset(authority))
    return made


def rrset(line: str) -> dns.rrset.RRset:
    name, ttl, type_, data = line.split(" ", 3)
    return dns.rrset.from_text(name + ".", int(ttl), "IN", type_, data)


def read(query: Query, made: dns.message.Message) -> Answer:
    answer = read_response(query, made.to_wire())
    assert isinstance(answer, Answer)
    return answer


def test_query_asks_for_recursion_the_ad_bit_and_answers_that_fit_any_path() -> None:
    message = dns.message.from_wire(asked().wire)
    assert message.flags & dns.flags.RD
    assert message.flags & dns.flags.AD
    assert not message.ednsflags & dns.flags.DO
    assert message.payload == 1232


def test_ids_are_not_the_same_twice_over() -> None:
    assert len({asked().wire[:2] for _ in range(50)}) > 40


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", ".".join(["a" * 60] * 5)])
def test_a_name_dns_cannot_hold_does_not_exist(name: str) -> None:
    answer = query_for(Question(name, "A"))
    assert isinstance(answer, Answer)
    assert answer.status is Status.NO_NAME


@pytest.mark.parametrize("question", [Question("bücher.test", "A"), Question("a.test", "NOPE")])
def test_a_question_put_wrongly_tells_nothing(question: Question) -> None:
    answer = query_for(question)
    assert isinstance(answer, Answer)
    assert answer.status is Status.SERVER_FAILURE


def test_a_backslash_in_a_name_is_no_escape() -> None:
    assert asked("a\\046b.test").message.question[0].name.labels[0] == b"a\\046b"


def test_addresses_come_with_the_lowest_ttl_and_the_ad_bit() -> None:
    query = asked()
    answer = read(query, response(query, "tea.test 77 A 192.0.2.1", flags=dns.flags.AD))
    assert answer == Answer(query.question, Status.OK, ("192.0.2.1",), 77, secure=True)


def test_text_of_each_type_is_as_promised() -> None:
    for type_, data, text in [
        ("MX", "10 MX.Tea.TEST.", "10 mx.tea.test"),
        ("MX", "0 .", "0 ."),
        ("TXT", '"v=spf1 " "-all"', "v=spf1 -all"),
        ("PTR", "Host.Tea.TEST.", "host.tea.test"),
        ("CNAME", "Host.Tea.TEST.", "host.tea.test"),
        ("AAAA", "2001:db8:0::1", "2001:db8::1"),
        ("TLSA", "3 1 1 " + "ab" * 32, "3 1 1 " + "ab" * 32),
        ("TLSA", "3 0 0 " + "ab" * 320, "3 0 0 " + "ab" * 320),
    ]:
        query = asked("tea.test", type_)
        assert read(query, response(query, f"tea.test 300 {type_} {data}")).records == (text,)


def test_no_octet_of_a_txt_record_is_lost() -> None:
    query = asked("tea.test", "TXT")
    answer = read(query, response(query, 'tea.test 300 TXT "\\255\\000\\013x"'))
    assert answer.records[0].encode("latin-1") == b"\xff\x00\x0dx"


def test_cname_chain_is_followed_and_its_lowest_ttl_counts() -> None:
    query = asked()
    made = response(
        query, "tea.test 300 CNAME a.test.", "a.test 20 CNAME b.test.", "b.test 90 A 192.0.2.7"
    )
    answer = read(query, made)
    assert (answer.status, answer.records, answer.ttl_s) == (Status.OK, ("192.0.2.7",), 20)
    assert answer.canonical == "b.test"


@pytest.mark.parametrize(("links", "status"), [(8, Status.OK), (9, Status.SERVER_FAILURE)])
def test_chain_longer_than_eight_tells_nothing(links: int, status: Status) -> None:
    query = asked("n0.test")
    chain = [f"n{i}.test 300 CNAME n{i + 1}.test." for i in range(links)]
    made = response(query, *chain, f"n{links}.test 300 A 192.0.2.1")
    assert read(query, made).status is status


def test_cname_loop_tells_nothing() -> None:
    query = asked("a.test")
    made = response(query, "a.test 300 CNAME b.test.", "b.test 300 CNAME a.test.")
    assert read(query, made).status is Status.SERVER_FAILURE


def test_records_of_other_names_in_the_answer_are_not_taken() -> None:
    query = asked()
    made = response(query, "bank.test 300 A 192.0.2.66", flags=dns.flags.RA)
    assert read(query, made).status is Status.NO_DATA


@pytest.mark.parametrize(
    ("rcode", "status"),
    [(dns.rcode.NXDOMAIN, Status.NO_NAME), (dns.rcode.NOERROR, Status.NO_DATA)],
)
@pytest.mark.parametrize(
    ("ttl", "minimum", "kept"), [(900, 60, 60), (30, 60, 30), (90_000, 90_000, MAX_NEGATIVE_TTL_S)]
)
def test_negative_answers_are_kept_by_soa_ttl_and_minimum_at_most_an_hour(
    rcode: dns.rcode.Rcode, status: Status, ttl: int, minimum: int, kept: int
) -> None:
    query = asked()
    soa = f"tea.test {ttl} SOA {SOA.format(minimum=minimum)}"
    answer = read(query, response(query, rcode=rcode, authority=soa))
    assert (answer.status, answer.ttl_s, answer.records) == (status, kept, ())


def test_negative_answer_without_soa_is_not_kept() -> None:
    query = asked()
    assert read(query, response(query, rcode=dns.rcode.NXDOMAIN)).ttl_s == 0


def test_nxdomain_behind_a_cname_is_kept_no_longer_than_the_cname() -> None:
    query = asked()
    soa = f"gone.test 900 SOA {SOA.format(minimum=900)}"
    made = response(query, "tea.test 40 CNAME gone.test.", rcode=dns.rcode.NXDOMAIN, authority=soa)
    answer = read(query, made)
    assert (answer.status, answer.ttl_s) == (Status.NO_NAME, 40)


def test_positive_answer_is_kept_a_day_at_most() -> None:
    query = asked()
    assert read(query, response(query, "tea.test 999999 A 192.0.2.1")).ttl_s == MAX_POSITIVE_TTL_S


@pytest.mark.parametrize(
    "rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOTIMP]
)
def test_every_other_code_is_a_server_failure(rcode: dns.rcode.Rcode) -> None:
    query = asked()
    answer = read(query, response(query, rcode=rcode))
    assert (answer.status, answer.ttl_s) == (Status.SERVER_FAILURE, 0)


def test_referral_of_a_server_that_does_not_recurse_tells_nothing() -> None:
    query = asked()
    made = response(query, authority="test 300 NS ns.elsewhere.test.", flags=0)
    assert read(query, made).status is Status.SERVER_FAILURE


def test_cname_that_leaves_the_zones_of_an_authoritative_server_tells_nothing() -> None:
    query = asked()
    made = response(query, "tea.test 300 CNAME out.test.", flags=dns.flags.AA)
    assert read(query, made).status is Status.SERVER_FAILURE


def test_empty_answer_of_an_authoritative_server_is_no_data() -> None:
    query = asked()
    assert read(query, response(query, flags=dns.flags.AA)).status is Status.NO_DATA


def test_wrong_id_is_not_ours() -> None:
    query = asked()
    wire = bytearray(response(query, "tea.test 300 A 192.0.2.66").to_wire())
    wire[0] ^= 1
    assert read_response(query, bytes(wire)) is Unfit.NOT_OURS


def test_wrong_question_is_not_ours() -> None:
    query, other = asked(), asked("bank.test")
    other.message.id = query.message.id
    wire = response(other, "bank.test 300 A 192.0.2.66").to_wire()
    assert wire[:2] == query.wire[:2]
    assert read_response(query, wire) is Unfit.NOT_OURS


def test_our_own_query_sent_back_is_not_ours() -> None:
    query = asked()
    assert read_response(query, query.wire) is Unfit.NOT_OURS


def test_truncated_answer_is_asked_again_even_when_it_ends_in_the_middle() -> None:
    query = asked()
    made = response(query, "tea.test 300 A 192.0.2.1")
    made.flags |= dns.flags.TC
    assert read_response(query, made.to_wire()[:-20]) is Unfit.TRUNCATED


def test_truncated_answer_to_another_question_is_not_ours() -> None:
    query, other = asked(), asked("bank.test")
    other.message.id = query.message.id
    made = response(other)
    made.flags |= dns.flags.TC
    assert read_response(query, made.to_wire()) is Unfit.NOT_OURS


QUERY = asked("tea.test", "MX")
WHOLE = response(
    QUERY,
    "tea.test 300 CNAME a.test.",
    "a.test 300 MX 10 mx.a.test.",
    authority=f"tea.test 900 SOA {SOA.format(minimum=60)}",
).to_wire()


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_no_octets_behind_our_id_do_more_than_be_read_or_refused(tail: bytes) -> None:
    assert isinstance(read_response(QUERY, QUERY.wire[:2] + tail), Answer | Unfit)


@pytest.mark.fuzz
@given(st.integers(2, len(WHOLE) - 1), st.integers(0, 255), st.integers(12, len(WHOLE)))
def test_no_damaged_response_does_more_than_be_read_or_refused(
    position: int, value: int, end: int
) -> None:
    wire = bytearray(WHOLE)
    wire[position] = value
    assert isinstance(read_response(QUERY, bytes(wire[:end])), Answer | Unfit)
