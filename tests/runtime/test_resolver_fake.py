from postern.mail.dns import Answer, Question, Status
from postern.runtime.resolver.fake import FakeResolver
from postern.runtime.resolver.lookup import Lookup

TEA = Question("tea.test", "A")


async def test_fake_answers_from_its_table_and_records_the_queries() -> None:
    fake = FakeResolver([Answer(TEA, Status.OK, ("192.0.2.1",), 300)])
    fake.add("Tea.Test.", "mx", "10 mx.tea.test", ttl_s=60)
    lookup: Lookup = fake
    assert lookup.cached(TEA) is None
    assert (await lookup.ask(TEA)).records == ("192.0.2.1",)
    assert lookup.cached(TEA) is not None
    assert (await lookup.ask(Question("tea.test", "MX"))).ttl_s == 60
    assert fake.queries == [TEA, Question("tea.test", "MX")]


async def test_what_was_never_added_does_not_exist() -> None:
    fake = FakeResolver()
    fake.add("tea.test", "A", "192.0.2.1")
    assert (await fake.ask(Question("tea.test", "MX"))).status is Status.NO_DATA
    assert (await fake.ask(Question("coffee.test", "MX"))).status is Status.NO_NAME


async def test_one_question_can_fail_and_another_time_out() -> None:
    fake = FakeResolver()
    fake.fail("tea.test", "A")
    fake.time_out("tea.test", "MX")
    failed = await fake.ask(TEA)
    assert (failed.status, failed.ttl_s) == (Status.SERVER_FAILURE, 0)
    assert fake.cached(TEA) is None
    assert (await fake.ask(Question("tea.test", "MX"))).status is Status.TIMEOUT


async def test_everything_can_go_dark_and_come_back() -> None:
    fake = FakeResolver()
    fake.add("tea.test", "A", "192.0.2.1")
    await fake.ask(TEA)
    fake.fail_all(Status.TIMEOUT)
    assert fake.cached(TEA) is None
    assert (await fake.ask(TEA)).status is Status.TIMEOUT
    fake.fail_all(None)
    assert (await fake.ask(TEA)).records == ("192.0.2.1",)
