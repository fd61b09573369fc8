"""Invariants: whatever DNS, From, SPF and DKIM say, an evaluation raises nothing, asks a bounded
number of questions and none twice; and every answer that goes missing leaves the result as it was
or makes it ``temperror``, never a failure or a pass that was not there."""

import time
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.dmarc.alignment import Alignment, Identifier, Method, Proof
from postern.mail.dmarc.evaluate import MAX_QUESTIONS, DmarcResult, Evaluation, evaluate
from postern.mail.dmarc.external import Destination, Permission, Report, find_destination
from postern.mail.dmarc.names import MAX_WALK
from postern.mail.dmarc.record import MAX_URIS, Policy, ReportUri, parse_record
from postern.mail.dns import Answer, Inquiry, Question, Status

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
LOST = (Status.SERVER_FAILURE, Status.TIMEOUT)
MAX_ROUNDS = 12

PIECES = st.sampled_from(
    [
        *("v=DMARC1", "v = DMARC1 ", ";", "; ", "=", "p", "p=", "reject", "none", "quarantine"),
        *("sp=", "np=", "psd=y", "psd=n", "t=y", "adkim=s", "aspf=s", "rua=mailto:a@b.example"),
        *("ruf=", "mailto:", "%2C", "!10m", "!", ",", "fo=1:d:s", ":", " ", "\t", "\r\n", "\x00"),
        *("\xff", "a@x.example", "https://x.example/", "9" * 30, "DMARC1", "v", "\\"),
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=14).map("".join),
    st.lists(PIECES, max_size=10).map(lambda pieces: "v=DMARC1;" + ";".join(pieces)),
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")),
)
WILD_NAMES = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["a", "b", "xn--", "_x", "\xfc", "A", "", "x" * 63]), max_size=14).map(
        ".".join
    ),
    st.sampled_from(["[192.0.2.1]", ".", "a" * 253, "com", "b\xfccher.example.", "\r\n"]),
)

FAMILY = ["d", "e", "f", "g", "h", "i", "example", "com"]
NAMES = st.builds(
    lambda head, left: ".".join([*head, *FAMILY[left:]]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.integers(0, len(FAMILY) - 1),
)
RECORDS = st.lists(
    st.sampled_from(
        [
            *("p=reject", "p=none", "p=oops", "sp=quarantine", "np=none", "np=reject", "psd=y"),
            *("psd=n", "t=y", "adkim=s", "aspf=s", "rua=mailto:a@b.example"),
        ]
    ),
    max_size=4,
    unique_by=lambda tag: tag[:2],
).map(lambda tags: "; ".join(["v=DMARC1", *tags]))
ZONES = st.dictionaries(NAMES, RECORDS, max_size=6)
PROOFS = st.sampled_from(Proof)


def identifiers(names: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[Identifier]]:
    return st.lists(st.builds(Identifier, st.sampled_from(Method), names, PROOFS), max_size=most)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def drive(
    inquiry: Inquiry[Evaluation], answer: Callable[[Question], Answer], most: int = MAX_QUESTIONS
) -> Evaluation:
    """To its end, with an eye on what it asks."""
    asked: list[Question] = []
    rounds = 0
    try:
        questions = next(inquiry)
        while True:
            rounds += 1
            asked.extend(questions)
            assert questions
            assert rounds <= MAX_ROUNDS
            assert len(asked) <= most
            assert len(set(asked)) == len(asked)
            for question in questions:
                assert question == Question.of(question.name, question.type)
                assert question.name.isascii()
                assert 0 < len(question.name) <= 253
                assert all(0 < len(label) <= 63 for label in question.name.split("."))
            questions = inquiry.send(tuple(answer(question) for question in questions))
    except StopIteration as end:
        result: Evaluation = end.value
        return result


def test_nothing_raises_and_everything_is_bounded(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        st.lists(st.one_of(WILD_NAMES, NAMES), max_size=5),
        identifiers(st.one_of(WILD_NAMES, NAMES), 30),
        st.lists(st.tuples(st.sampled_from(Status), st.lists(TEXTS, max_size=3)), min_size=1),
        st.booleans(),
    )
    def check(
        authors: list[str],
        found: list[Identifier],
        replies: list[tuple[Status, list[str]]],
        thorough: bool,  # noqa: FBT001 - drawn
    ) -> None:
        turn = iter(range(10_000))

        def answer(question: Question) -> Answer:
            status, texts = replies[next(turn) % len(replies)]
            return Answer(question, status, tuple(texts) if status is Status.OK else ())

        evaluation = drive(evaluate(authors, found, thorough=thorough), answer)
        assert len(evaluation.aligned) == len(evaluation.identifiers)
        assert (evaluation.result is DmarcResult.PASS) == bool(evaluation.proofs)
        if evaluation.result in {DmarcResult.NONE, DmarcResult.PERMERROR}:
            assert evaluation.policy is Policy.NONE

    run_for(fuzz_seconds / 4, check)


def world(zone: Mapping[str, str], existing: str, lost: Mapping[str, Status]) -> Callable[
    [Question], Answer
]:  # fmt: skip
    """Answers of a zone some of whose names don't answer."""

    def answer(question: Question) -> Answer:
        domain = question.name.removeprefix("_dmarc.")
        if question.name in lost:
            return Answer(question, lost[question.name])
        if question.type == "TXT" and domain in zone:
            return Answer(question, Status.OK, (zone[domain],))
        exists = question.type == "A" and (question.name == existing or question.name in zone)
        return Answer(question, Status.NO_DATA if exists else Status.NO_NAME)

    return answer


def test_a_missing_answer_never_makes_a_failure_or_a_pass(fuzz_seconds: float) -> None:
    names = st.one_of(NAMES, NAMES.map(lambda name: f"_dmarc.{name}"))

    @BATCH
    @given(
        ZONES,
        NAMES,
        NAMES,
        identifiers(NAMES, 4),
        st.dictionaries(names, st.sampled_from(LOST), max_size=4),
        st.sets(st.integers(0, 3)),
    )
    def check(
        zone: dict[str, str],
        author: str,
        existing: str,
        found: list[Identifier],
        lost: dict[str, Status],
        doubtful: set[int],
    ) -> None:
        found = [i for i in found if i.proof is not Proof.COULDNT_TELL]
        sure = drive(evaluate([author], found), world(zone, existing, {}))
        assert sure.result is not DmarcResult.TEMPERROR
        less = [
            Identifier(i.method, i.domain, Proof.COULDNT_TELL) if at in doubtful else i
            for at, i in enumerate(found)
        ]
        unsure = drive(evaluate([author], less), world(zone, existing, lost))
        if unsure.result is not DmarcResult.TEMPERROR:
            assert unsure.result is sure.result
            assert unsure.policy is sure.policy or unsure.result is not DmarcResult.FAIL
            assert unsure.record == sure.record
        whole = drive(evaluate([author], less, thorough=True), world(zone, existing, lost))
        assert (whole.result, whole.policy) == (unsure.result, unsure.policy)
        for alignment in whole.aligned:
            assert isinstance(alignment, Alignment)

    run_for(fuzz_seconds / 2, check)


def test_records_never_raise_and_stay_bounded(fuzz_seconds: float) -> None:
    @BATCH
    @given(TEXTS)
    def check(text: str) -> None:
        record = parse_record(text)
        if record is None:
            return
        assert text.lstrip(" \t")[:1] in {"v", "V"}
        assert len(record.rua) <= MAX_URIS
        assert parse_record(text) == record
        for uri in (*record.rua, *record.ruf):
            assert uri.text.isascii()
            assert uri.limit_bytes is None or uri.limit_bytes >= 0

    run_for(fuzz_seconds / 8, check)


@pytest.mark.parametrize("piece", ["p=reject;", "v=DMARC1;", ";", "=", "rua=,", "a=b!", " ", "a"])
def test_a_huge_record_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    parse_record("v=DMARC1;" + piece * (65_000 // len(piece)))
    assert time.process_time() - start < 0.5


def test_external_destinations_are_bounded(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        st.one_of(NAMES, WILD_NAMES),
        st.one_of(NAMES, WILD_NAMES),
        st.sampled_from(Report),
        st.lists(st.tuples(st.sampled_from(Status), st.lists(TEXTS, max_size=3)), min_size=1),
    )
    def check(
        domain: str, host: str, report: Report, replies: list[tuple[Status, list[str]]]
    ) -> None:
        record = parse_record(f"v=DMARC1; rua=mailto:a@{host}")
        assert record is not None
        to = record.rua[0] if record.rua else ReportUri("x:y")
        inquiry = find_destination(domain, to, report)
        found = Destination(Permission.REFUSED)
        count = 0
        try:
            questions = next(inquiry)
            while True:
                count += len(questions)
                assert count <= 2 * MAX_WALK + 1
                answers = []
                for at, question in enumerate(questions):
                    status, texts = replies[(count + at) % len(replies)]
                    kept = tuple(texts) if status is Status.OK else ()
                    answers.append(Answer(question, status, kept))
                questions = inquiry.send(tuple(answers))
        except StopIteration as end:
            found = end.value
        sends = found.permission in {Permission.OWN, Permission.GRANTED}
        assert bool(found.uris) == sends
        for uri in found.uris:
            assert uri.address is not None
            assert to.address is not None
            assert uri.address.domain == to.address.domain

    run_for(fuzz_seconds / 8, check)
