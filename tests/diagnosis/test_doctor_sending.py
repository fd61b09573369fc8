"""The doctor sees our addresses as others do."""

import asyncio

from postern.diagnosis.doctor_results import Grade, Result, Sender
from postern.diagnosis.doctor_sending import look_at_senders, within_time
from postern.mail.dns import Answer, Question
from postern.runtime.resolver.fake import FakeResolver

IP = "192.0.2.9"
HELO = "mx1.host.example"
DIRECT = Sender("direct", IP, HELO)
PTR = Question.reverse(IP).name
LISTED = "9.2.0.192.bl.example"


async def look(resolver: FakeResolver, sender: Sender = DIRECT) -> dict[str, Result]:
    looking = look_at_senders([sender], ["bl.example"], resolver)
    return {result.check: result async for result in looking}


def well() -> FakeResolver:
    resolver = FakeResolver()
    resolver.add(PTR, "PTR", HELO)
    resolver.add(HELO, "A", IP)
    return resolver


async def test_an_address_with_a_name_that_leads_back_is_well() -> None:
    results = await look(well())
    assert [result.grade for result in results.values()] == [Grade.OK] * 3
    assert results["sending.ptr.direct"].what == f"{IP} is {HELO}, and {HELO} is {IP}"


async def test_without_a_source_the_addresses_of_our_name_are_looked_at() -> None:
    results = await look(well(), Sender("direct", "", HELO))
    assert set(results) == {
        "sending.ptr.direct",
        "sending.helo.direct",
        "sending.listed.bl.example",
    }
    private = FakeResolver()
    private.add(HELO, "A", "192.168.1.1", "127.0.0.1")
    assert await look(private, Sender("direct", "", HELO)) == {}


async def test_a_missing_or_false_reverse_name_is_a_problem_and_says_whom_to_ask() -> None:
    resolver = well()
    resolver.add(PTR, "PTR", "dyn-9.isp.example")
    found = (await look(resolver))["sending.ptr.direct"]
    assert found.grade is Grade.PROBLEM
    assert "does not lead back" in found.what
    nothing = FakeResolver()
    nothing.add(HELO, "A", IP)
    missing = (await look(nothing))["sending.ptr.direct"]
    assert missing.what == f"{IP} has no reverse DNS name: many refuse its mail"
    assert missing.fix == f"ask whoever gave you {IP} to set its PTR record to {HELO}"


async def test_a_name_that_leads_elsewhere_is_a_warning() -> None:
    resolver = well()
    other = Sender("fwd", IP, "fwd.host.example")
    assert (await look(resolver, other))["sending.helo.fwd"].grade is Grade.WARNING


async def test_a_block_list_that_names_us_is_a_problem_with_its_reason() -> None:
    resolver = well()
    resolver.add(LISTED, "A", "127.0.0.2")
    resolver.add(LISTED, "TXT", "sent junk on Monday")
    listed = (await look(resolver))["sending.listed.bl.example"]
    assert listed.grade is Grade.PROBLEM
    assert listed.what == f"{IP} is on bl.example: sent junk on Monday"


async def test_a_list_that_does_not_serve_us_and_dns_that_does_not_answer_couldnt_tell() -> None:
    resolver = well()
    resolver.add(LISTED, "A", "127.255.255.254")
    assert (await look(resolver))["sending.listed.bl.example"].grade is Grade.COULDNT_TELL
    resolver.fail_all()
    grades = {check: result.grade for check, result in (await look(resolver)).items()}
    assert grades["sending.ptr.direct"] is Grade.COULDNT_TELL
    assert grades["sending.helo.direct"] is Grade.COULDNT_TELL
    assert grades["sending.listed.bl.example"] is Grade.COULDNT_TELL
    (untold,) = (await look(resolver, Sender("direct", "", HELO))).values()
    assert untold.grade is Grade.COULDNT_TELL


async def test_what_was_found_before_the_time_was_up_is_told() -> None:
    class Stuck(FakeResolver):
        async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
            if question.name == LISTED:
                await asyncio.Event().wait()
            return await super().ask(question, foreign_ok=foreign_ok)

    resolver = Stuck()
    resolver.add(PTR, "PTR", HELO)
    resolver.add(HELO, "A", IP)
    found = await within_time(look_at_senders([DIRECT], ["bl.example"], resolver), 0.2)
    assert [(one.check, one.grade) for one in found] == [
        ("sending.ptr.direct", Grade.OK),
        ("sending.helo.direct", Grade.OK),
        ("sending.address", Grade.COULDNT_TELL),
    ]
