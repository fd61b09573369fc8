from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mail.dmarc import by_the_letter
from tests.mail.dmarc.test_tree import DOMAINS, ZONES
from tests.mail.dmarc.zone import Zone

from postern.mail.dmarc.alignment import Alignment, Identifier, Method, Proof
from postern.mail.dmarc.evaluate import (
    MAX_AUTHORS,
    MAX_QUESTIONS,
    Cause,
    DmarcResult,
    Evaluation,
    Tag,
    evaluate,
)
from postern.mail.dmarc.record import Policy
from postern.mail.dns import Status

P = "v=DMARC1; p=reject"
NONE, PASS, FAIL, TEMPERROR, PERMERROR = DmarcResult


def dkim(domain: str, proof: Proof = Proof.PASS) -> Identifier:
    return Identifier(Method.DKIM, domain, proof)


def spf(domain: str, proof: Proof = Proof.PASS) -> Identifier:
    return Identifier(Method.SPF, domain, proof)


def judge(
    zone: Zone, authors: str | Sequence[str], *identifiers: Identifier, thorough: bool = False
) -> Evaluation:
    names = [authors] if isinstance(authors, str) else authors
    return zone.run(evaluate(names, identifiers, thorough=thorough))


# RFC 9989 Appendix B.1.1: SPF passes.
@pytest.mark.parametrize(
    ("mail_from", "author", "mode", "result"),
    [
        ("example.com", "example.com", "s", PASS),  # Example 1: strict
        ("child.example.com", "example.com", "r", PASS),  # Example 2: relaxed
        ("child.example.com", "example.com", "s", FAIL),
        ("example.net", "child.example.com", "r", FAIL),  # Example 3: none
    ],
)
def test_b11_spf(mail_from: str, author: str, mode: str, result: DmarcResult) -> None:
    zone = Zone(example_com=f"{P}; aspf={mode}")
    assert judge(zone, author, spf(mail_from)).result is result


def test_b11_alignment_cannot_exist_if_spf_does_not_pass() -> None:
    assert judge(Zone(example_com=P), "example.com", spf("example.com", Proof.FAIL)).result is FAIL


# RFC 9989 Appendix B.1.2: the signature is valid.
@pytest.mark.parametrize(
    ("d", "author", "mode", "result"),
    [
        ("example.com", "example.com", "s", PASS),  # Example 1: strict
        ("example.com", "child.example.com", "r", PASS),  # Example 2: relaxed
        ("example.com", "child.example.com", "s", FAIL),
        ("example.net", "child.example.com", "r", FAIL),  # Example 3: none
    ],
)
def test_b12_dkim(d: str, author: str, mode: str, result: DmarcResult) -> None:
    zone = Zone(example_com=f"{P}; adkim={mode}")
    assert judge(zone, author, dkim(d)).result is result


def test_b25_a_subdomain_being_tested() -> None:
    zone = Zone(
        example_com="v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com",
        test_example_com="v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,"
        "mailto:tld-test@thirdparty.example.net; t=y",
    )
    found = judge(zone, "test.example.com")
    assert (found.result, found.tag, found.policy_domain) == (FAIL, Tag.P, "test.example.com")
    assert (found.published, found.policy) == (Policy.QUARANTINE, Policy.NONE)
    zone.publish("test.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc-feedback@example.com")
    assert judge(zone, "test.example.com").policy is Policy.REJECT


def test_b31_smtp_session_example() -> None:
    zone = Zone(example_com="v=DMARC1; p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com")
    identifiers = (spf("mail.example.com"), dkim("example.com"))
    found = judge(zone, "example.com", *identifiers, thorough=True)
    assert (found.result, found.cause) == (PASS, Cause.ALIGNED)
    assert found.proofs == identifiers
    found = judge(zone, "example.com", *identifiers)
    assert found.proofs == identifiers[1:]
    assert judge(zone, "example.com").policy is Policy.REJECT


def test_b41_simple_organisational_and_policy_example() -> None:
    zone = Zone(example_com=P, signing_example_com=P)
    identifiers = (spf("example.com"), dkim("signing.example.com"))
    found = judge(zone, "example.com", *identifiers, thorough=True)
    assert (found.result, found.policy_domain) == (PASS, "example.com")
    assert found.aligned == (Alignment.YES, Alignment.YES)
    assert zone.rounds == [
        ["_dmarc.example.com"],
        ["_dmarc.com"],
        ["_dmarc.signing.example.com"],
    ]
    assert judge(zone, "example.com", dkim("signing.example.com")).result is PASS


def test_b42_deep_tree_walk_example() -> None:
    zone = Zone(example_com=P, signing_example_com=P)
    author = "a.b.c.d.e.f.g.h.i.j.k.example.com"
    identifiers = (spf("example.com"), dkim("signing.example.com"))
    found = judge(zone, author, *identifiers, thorough=True)
    assert (found.result, found.policy_domain) == (PASS, "example.com")
    assert found.aligned == (Alignment.YES, Alignment.YES)
    assert zone.rounds == [
        [f"_dmarc.{author}"],
        [
            "_dmarc.g.h.i.j.k.example.com",
            "_dmarc.h.i.j.k.example.com",
            "_dmarc.i.j.k.example.com",
            "_dmarc.j.k.example.com",
            "_dmarc.k.example.com",
            "_dmarc.example.com",
            "_dmarc.com",
        ],
        ["_dmarc.signing.example.com"],
    ]


def test_b43_example_with_a_psd_record() -> None:
    zone = Zone(giant_bank_example=P, bank_example=P + "; psd=y")
    identifiers = (spf("mail.giant.bank.example"), dkim("mail.mega.bank.example"))
    found = judge(zone, "giant.bank.example", *identifiers)
    assert (found.result, found.policy_domain) == (PASS, "giant.bank.example")
    assert found.aligned == (Alignment.YES, Alignment.NO)
    assert found.proofs == identifiers[:1]


# RFC 9989 §4.10.1.
def test_without_a_record_dmarc_does_not_apply() -> None:
    found = judge(Zone(), "example.com", dkim("example.com"))
    assert (found.result, found.cause, found.record) == (NONE, Cause.NO_RECORD, None)


def test_a_public_suffixs_record_applies_where_the_organisation_has_none() -> None:
    zone = Zone(bank_example="v=DMARC1; p=none; sp=quarantine; np=reject; psd=y")
    found = judge(zone, "mega.bank.example")
    assert (found.policy_domain, found.tag, found.policy) == (
        "bank.example",
        Tag.NP,
        Policy.REJECT,
    )
    zone.add("mega.bank.example", "A", "192.0.2.1")
    found = judge(zone, "mega.bank.example")
    assert (found.tag, found.policy) == (Tag.SP, Policy.QUARANTINE)
    assert judge(zone, "bank.example").tag is Tag.P


@pytest.mark.parametrize(
    ("tags", "existing", "missing"),
    [
        ("", "p reject", "p reject"),
        ("sp=none", "sp none", "sp none"),
        ("np=none", "p reject", "np none"),
        ("sp=quarantine; np=none", "sp quarantine", "np none"),
        ("sp=reject; t=y", "sp quarantine", "sp quarantine"),
        ("sp=none; np=quarantine; t=y", "sp none", "sp none"),  # both come to none: not asked
        ("np=quarantine; t=y", "p quarantine", "np none"),
    ],
)
def test_which_tag_a_subdomains_policy_is_from(tags: str, existing: str, missing: str) -> None:
    zone = Zone(example_com=f"{P}; {tags}")
    zone.add("real.example.com", "MX", "10 mx.example.com")
    for author, expected in (("real.example.com", existing), ("ghost.example.com", missing)):
        found = judge(zone, author)
        assert found.tag is not None
        assert f"{found.tag.value} {found.policy.value}" == expected
    assert judge(zone, "example.com").tag is Tag.P


def test_existence_is_asked_only_when_it_matters() -> None:
    for text in (P, P + "; sp=none", P + "; np=reject", "v=DMARC1; np=none; sp=none"):
        zone = Zone(example_com=text)
        judge(zone, "ghost.example.com")
        assert "ghost.example.com" not in zone.asked
    zone = Zone(example_com=P + "; np=none")
    judge(zone, "ghost.example.com", dkim("example.com"))
    assert "ghost.example.com" not in zone.asked
    judge(zone, "ghost.example.com")
    assert zone.asked[-1] == "ghost.example.com"


def test_existence_that_cannot_be_told_is_no_failure() -> None:
    zone = Zone(example_com=P + "; np=none")
    zone.time_out("a.example.com", "A")
    found = judge(zone, "a.example.com")
    assert (found.result, found.cause) == (TEMPERROR, Cause.EXISTENCE_UNKNOWN)


def test_np_does_not_apply_to_the_domain_with_the_record() -> None:
    zone = Zone(example_com=P + "; np=none")
    assert judge(zone, "example.com").policy is Policy.REJECT


# RFC 9989 §4.10 steps 2 and 6.
def test_several_records_are_none() -> None:
    zone = Zone()
    zone.publish("example.com", P, P)
    assert judge(zone, "example.com").result is NONE
    zone = Zone(example_com="v=DMARC1; p=quarantine")
    zone.publish("a.example.com", P, P)
    found = judge(zone, "a.example.com")
    assert (found.policy_domain, found.policy) == ("example.com", Policy.QUARANTINE)


def test_a_misspelt_policy_without_anybody_to_tell_is_a_permanent_error() -> None:
    found = judge(Zone(example_com="v=DMARC1; p=rejct"), "example.com", dkim("example.com"))
    assert (found.result, found.cause) == (PERMERROR, Cause.BAD_RECORD)
    assert found.policy is Policy.NONE
    zone = Zone(example_com="v=DMARC1; p=rejct; rua=mailto:a@example.com")
    found = judge(zone, "example.com")
    assert (found.result, found.policy) == (FAIL, Policy.NONE)


# RFC 9989 §5.3.6: with DNS errors a message "cannot be considered to pass or fail".
@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
@pytest.mark.parametrize("name", ["_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com"])
def test_a_record_that_cannot_be_told_is_no_failure(status: Status, name: str) -> None:
    zone = Zone(example_com=P)
    zone.add(name, "TXT", status=status)
    found = judge(zone, "a.example.com", dkim("a.example.com"))
    assert (found.result, found.cause) == (TEMPERROR, Cause.POLICY_UNKNOWN)
    assert found.policy is Policy.NONE


def test_an_outage_is_never_a_failure() -> None:
    zone = Zone(example_com=P)
    zone.fail_all()
    assert judge(zone, "example.com", spf("evil.example", Proof.FAIL)).result is TEMPERROR


@pytest.mark.parametrize(
    ("identifier", "result", "cause"),
    [
        (spf("example.com", Proof.COULDNT_TELL), TEMPERROR, Cause.PROOF_UNKNOWN),
        (dkim("example.com", Proof.COULDNT_TELL), TEMPERROR, Cause.PROOF_UNKNOWN),
        (dkim("news.example.com", Proof.COULDNT_TELL), TEMPERROR, Cause.PROOF_UNKNOWN),
        (dkim("lost.example.com"), TEMPERROR, Cause.ALIGNMENT_UNKNOWN),
        (dkim("lost.example.com", Proof.COULDNT_TELL), TEMPERROR, Cause.PROOF_UNKNOWN),
        # A stranger's couldn't-tell could not have been the proof.
        (spf("evil.com", Proof.COULDNT_TELL), FAIL, Cause.NOT_ALIGNED),
        (dkim("evil.example.net", Proof.COULDNT_TELL), FAIL, Cause.NOT_ALIGNED),
        (dkim("lost.example.com", Proof.FAIL), FAIL, Cause.NOT_ALIGNED),
    ],
)
def test_only_what_could_have_been_the_proof_delays_a_failure(
    identifier: Identifier, result: DmarcResult, cause: Cause
) -> None:
    zone = Zone(example_com=P)
    zone.fail("_dmarc.lost.example.com", "TXT")
    found = judge(zone, "example.com", identifier, spf("other.example", Proof.FAIL))
    assert (found.result, found.cause) == (result, cause)


def test_a_pass_does_not_wait_for_what_could_not_be_told() -> None:
    zone = Zone(example_com=P)
    found = judge(
        zone, "example.com", spf("example.com", Proof.COULDNT_TELL), dkim("www.example.com")
    )
    assert found.result is PASS


# RFC 9989 §5.3.1, §11.5.
def test_without_an_author_there_is_no_dmarc() -> None:
    found = judge(Zone(), [])
    assert (found.result, found.cause) == (PERMERROR, Cause.NO_AUTHOR)


def test_two_addresses_in_one_domain_are_one_author() -> None:
    zone = Zone(example_com=P)
    assert judge(zone, ["example.com", "EXAMPLE.com"], dkim("example.com")).result is PASS
    assert zone.rounds == [["_dmarc.example.com"]]


def test_with_several_authors_the_strictest_policy_that_fails_applies() -> None:
    zone = Zone(
        mild_example="v=DMARC1; p=none", stern_example=P, fair_example="v=DMARC1; p=quarantine"
    )
    authors = ["mild.example", "stern.example", "fair.example"]
    found = judge(zone, authors)
    assert (found.result, found.author, found.policy) == (FAIL, "stern.example", Policy.REJECT)
    found = judge(zone, authors, dkim("stern.example"))
    assert (found.author, found.policy) == ("fair.example", Policy.QUARANTINE)
    everyone = [dkim(author) for author in authors]
    assert judge(zone, authors, *everyone).result is PASS


def test_an_author_without_a_policy_takes_the_pass_but_not_the_failure_from_another() -> None:
    zone = Zone(stern_example=P)
    assert judge(zone, ["evil.test", "stern.example"], dkim("stern.example")).result is NONE
    assert judge(zone, ["evil.test", "stern.example"], dkim("evil.test")).result is FAIL


def test_an_authors_silence_does_not_hide_anothers_failure() -> None:
    zone = Zone(stern_example=P, mild_example="v=DMARC1; p=none")
    zone.time_out("_dmarc.evil.test", "TXT")
    assert judge(zone, ["evil.test", "stern.example"]).result is FAIL
    assert judge(zone, ["evil.test", "mild.example"]).result is TEMPERROR


def test_more_authors_than_three_are_not_looked_at() -> None:
    zone = Zone()
    found = judge(zone, [f"a{i}.example" for i in range(MAX_AUTHORS + 1)])
    assert (found.result, found.cause) == (PERMERROR, Cause.MANY_AUTHORS)
    assert zone.rounds == []


def test_an_address_literal_has_no_policy() -> None:
    found = judge(Zone(), "[192.0.2.1]", spf("[192.0.2.1]"))
    assert (found.result, found.author) == (NONE, "[192.0.2.1]")


def test_an_international_author_is_compared_as_a_labels() -> None:
    zone = Zone()
    zone.publish("xn--bcher-kva.example", P)
    found = judge(zone, "Bücher.example", dkim("xn--bcher-kva.example"))
    assert (found.result, found.author) == (PASS, "xn--bcher-kva.example")


def test_a_single_label_author_is_looked_up_once() -> None:
    zone = Zone(localhost=P)
    assert judge(zone, "localhost", dkim("localhost")).result is PASS
    assert zone.asked == ["_dmarc.localhost"]


# RFC 9989 §4.10.1: "PSD policy is not used for Organizational Domains that have published".
def test_a_record_between_author_and_organisation_is_passed_by() -> None:
    zone = Zone(mail_example_com="v=DMARC1; p=none", example_com=P)
    found = judge(zone, "a.mail.example.com")
    assert (found.policy_domain, found.policy) == ("example.com", Policy.REJECT)


def test_the_most_hostile_message_stays_below_the_bound() -> None:
    zone = Zone(example=P)
    authors = [f"a{i}.b.c.d.e.f.g.example" for i in range(MAX_AUTHORS)]
    identifiers = [dkim(f"x.d{i}.c{i}.{i}.{i}.{i}.{i}.example") for i in range(20)]
    judge(zone, authors, *identifiers)
    assert len(zone.asked) <= MAX_QUESTIONS


IDENTIFIERS = st.lists(
    st.builds(
        Identifier,
        st.sampled_from(Method),
        DOMAINS,
        st.sampled_from([Proof.PASS, Proof.PASS, Proof.FAIL]),
    ),
    max_size=4,
)


@given(ZONES, DOMAINS, IDENTIFIERS, st.booleans(), st.booleans())
def test_verdicts_are_those_of_the_letter(
    txt: dict[str, list[str]],
    author: str,
    identifiers: list[Identifier],
    exists: bool,  # noqa: FBT001 - drawn
    thorough: bool,  # noqa: FBT001 - drawn
) -> None:
    zone = Zone()
    for name, texts in txt.items():
        zone.publish(name, *texts)
    if exists:
        zone.add(author, "MX", "0 .")
    passed = [(i.method.value, i.domain) for i in identifiers if i.proof is Proof.PASS]
    real = exists or author in txt
    result, policy = by_the_letter.evaluate(author, passed, txt, exists=real)
    found = judge(zone, author, *identifiers, thorough=thorough)
    assert found.result.value == result
    assert len(set(zone.asked)) == len(zone.asked) <= MAX_QUESTIONS
    if result == "fail":
        assert found.policy.value == policy
    if thorough and found.record is not None:
        record = found.record.text
        for identifier, alignment in zip(identifiers, found.aligned, strict=True):
            if identifier.proof is Proof.PASS:
                expected = by_the_letter.is_aligned(
                    author, record, identifier.method.value, identifier.domain, txt
                )
                assert (alignment is Alignment.YES) == expected
                assert alignment is not Alignment.NOT_ASKED
