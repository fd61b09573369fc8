"""Records and verdicts as by pydmarc, another implementation of RFC 9989's tags and alignment."""

import contextlib

import dmarc as pydmarc  # type: ignore[import-untyped]  # ships no types
from hypothesis import given
from hypothesis import strategies as st
from tests.mail.dmarc.zone import Zone

from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.dmarc.evaluate import DmarcResult, evaluate
from postern.mail.dmarc.record import FailureOption, parse_record

POLICIES = ["none", "quarantine", "reject", "Reject", "NONE"]
TAGS = st.fixed_dictionaries(
    {"p": st.sampled_from(POLICIES)},
    optional={
        "sp": st.sampled_from(POLICIES),
        "np": st.sampled_from(POLICIES),
        "adkim": st.sampled_from(["r", "s", "S", "x"]),
        "aspf": st.sampled_from(["r", "s", "R", ""]),
        "t": st.sampled_from(["y", "n", "Y", "maybe"]),
        "fo": st.sampled_from(["0", "1", "d", "s", "1:d:s", "0:d"]),
        "ruf": st.just("mailto:a@b.example"),
        "rua": st.just("mailto:a@b.example,mailto:c@d.example"),
        "unknown": st.just("1"),
    },
)
FO = {
    FailureOption.ALL_FAIL: pydmarc.DMARCFailureReportOptions.ALL,
    FailureOption.ANY_FAILS: pydmarc.DMARCFailureReportOptions.ANY,
    FailureOption.DKIM_FAILS: pydmarc.DMARCFailureReportOptions.DKIM,
    FailureOption.SPF_FAILS: pydmarc.DMARCFailureReportOptions.SPF,
}


@given(TAGS, st.randoms(use_true_random=False), st.sampled_from(["; ", ";", " ; "]))
def test_records_read_as_by_pydmarc(tags: dict[str, str], random: object, between: str) -> None:
    order = list(tags.items())
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis calls it object
    text = between.join(["v=DMARC1", *(f"{name}={value}" for name, value in order)])
    theirs = pydmarc.DMARC().parse_record(text, "example.com", strict=False)
    ours = parse_record(text)
    assert ours is not None
    assert ours.p.value == theirs.p.value
    assert (ours.sp.value if ours.sp else None) == theirs.sp.value
    assert ours.adkim.value == theirs.adkim.value
    assert ours.aspf.value == theirs.aspf.value
    assert ours.is_test == (theirs.t is pydmarc.DMARCTesting.Y)
    assert [uri.text for uri in ours.rua] == theirs.rua
    assert [uri.text for uri in ours.ruf] == theirs.ruf
    # pydmarc reads fo without ruf as well; RFC 9989 §4.7 has it ignored then.
    if "ruf" in tags:
        assert {FO[option] for option in ours.fo} == set(theirs.fo)


class Suffixes:
    """What pydmarc asks of a public suffix list."""

    def get_public_suffix(self, domain: str) -> str:
        return ".".join(domain.split(".")[-2:])


NAMES = st.sampled_from(
    ["example.com", "a.example.com", "b.example.com", "c.b.example.com", "example.net", "a.test"]
)


@given(
    NAMES.filter(lambda name: name.endswith("example.com")),
    st.sampled_from(["none", "quarantine", "reject"]),
    st.sampled_from(["", "; sp=none", "; sp=quarantine"]),
    st.sampled_from(["", "; adkim=s", "; aspf=s", "; adkim=s; aspf=s"]),
    st.sampled_from(["", "; t=y"]),
    st.lists(st.tuples(NAMES, st.sampled_from(["pass", "fail", "neutral"])), max_size=3),
    st.tuples(NAMES, st.sampled_from(["pass", "fail", "softfail"])),
)
def test_verdicts_are_pydmarcs(
    author: str,
    p: str,
    sp: str,
    modes: str,
    test: str,
    signatures: list[tuple[str, str]],
    mail_from: tuple[str, str],
) -> None:
    """In zones with one record at the registered domain.

    pydmarc 1.2.1 walks no tree, so it has no psd; its caller says whether the record is the
    organisation's. It takes a domain for aligned with any of its ancestors, even ``com``: RFC 9989
    §4.10.2 compares organisations, and such identifiers are left out.
    """
    text = f"v=DMARC1; p={p}{sp}{modes}{test}"
    organisation = None if author == "example.com" else "example.com"
    theirs = pydmarc.DMARCPolicy(text, author, organisation, publicsuffix=Suffixes())
    results = [
        pydmarc.SPFAuthResult(mail_from[0], pydmarc.SPFResult(mail_from[1])),
        *(pydmarc.DKIMAuthResult(d, pydmarc.DKIMResult(result)) for d, result in signatures),
    ]
    with contextlib.suppress(pydmarc.PolicyError):
        theirs.verify(auth_results=results, allow_policy_test_mode=True)
    proofs = {"pass": Proof.PASS}
    identifiers = [
        Identifier(Method.SPF, mail_from[0], proofs.get(mail_from[1], Proof.FAIL)),
        *(Identifier(Method.DKIM, d, proofs.get(word, Proof.FAIL)) for d, word in signatures),
    ]
    found = Zone(example_com=text).run(evaluate([author], identifiers, thorough=True))
    assert found.result.value == theirs.result.result.value
    methods = {identifier.method for identifier in found.proofs}
    assert (Method.SPF in methods) == (theirs.result.spf is pydmarc.DMARCResult.PASS)
    assert (Method.DKIM in methods) == (theirs.result.dkim is pydmarc.DMARCResult.PASS)
    if found.result is DmarcResult.FAIL:
        assert found.policy.value == theirs.result.disposition.value
