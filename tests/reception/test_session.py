"""Every way a conversation can go leaves one record, with the right states and the right words."""

import asyncio
import re

import pytest
from tests.reception.rig import Make, Rig

from postern.mail.address import Address
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.spool.body import BodyWriter
from postern.spool.message import Message
from postern.spool.writer import Done

MESSAGE = b"From: a@far.example\r\nSubject: tea\r\n\r\nHello\r\n"
TRACE = re.compile(r"PT-[0-9A-Z]{4}-[0-9A-Z]{4}$")


def states(rig: Rig, number: int = -1) -> list[tuple[str, str]]:
    return [(record.address, record.state) for record in rig.told[number].recipients]


async def test_accepted_mail_is_durable_and_handed_on(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        answer = await client.deliver(MESSAGE)
        assert answer.startswith("250 2.0.0 Accepted")
        (message,) = rig.accepted
        assert message.trace == answer.split()[-1]
        assert await rig.spool.load(message.id) is not None
        content = message.content.in_memory
        assert content is not None
        head, _, rest = content.partition(b"From: a@far.example")
        assert head.startswith(b"Received: from client.example (unknown [127.0.0.1])")
        assert b"with ESMTP id PT-" in head.replace(b"\r\n\t", b" ")
        assert b"for <wang@harbour.example>;" in head
        assert rest == MESSAGE.removeprefix(b"From: a@far.example")
        assert message.conversation.accepted
        assert message.conversation.subject == "tea"
        assert await client.say("QUIT") == "221 2.0.0 Goodbye"
        await rig.wait_idle()
        assert rig.told == []


async def test_everything_pipelined_gets_every_answer_in_order(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        one = b"MAIL FROM:<a@far.example>\r\nRCPT TO:<wang@harbour.example>\r\nDATA\r\n"
        await client.send(b"EHLO c.example\r\n" + (one + MESSAGE + b".\r\n") * 3 + b"QUIT\r\n")
        replies = [await client.reply() for _ in range(2 + 3 * 4 + 1)]
        codes = [text[:3] for text in replies]
        assert codes == ["220", "250", *["250", "250", "354", "250"] * 3, "221"]
        traces = [text.split()[-1] for text in replies if TRACE.search(text)]
        assert len(set(traces)) == 3
        assert [message.trace for message in rig.accepted] == traces
        assert [len(message.conversation.related) for message in rig.accepted] == [0, 1, 2]
        await rig.wait_idle()
        assert rig.told == []


async def test_connection_that_never_reaches_mail_is_one_conversation(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.close()
        await rig.wait_idle()
        (told,) = rig.told
        assert told.helo == "client.example"
        assert [step.step for step in told.steps] == ["connect", "helo", "connection"]
        assert told.steps[-1].text == "the client closed the connection without QUIT"
        assert told.recipients == []
        assert [(line.side, line.text[:3]) for line in told.transcript][:2] == [
            ("S", "220"),
            ("C", "EHL"),
        ]


async def test_refused_recipient_is_journaled_with_its_last_word_in_the_transcript(
    make: Make,
) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        refusal = await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<no@harbour.example>")
        assert refusal.startswith("550 5.1.1 Not accepted: there is no mailbox")
        await client.say("RSET")
        (told,) = rig.told
        assert states(rig) == [("no@harbour.example", "refused")]
        assert told.because is not None
        assert told.because.check == "rcpt.unknown"
        assert told.mail_from == "a@far.example"
        assert any(line.text == refusal for line in told.transcript)
        await client.say("QUIT")
        await rig.wait_idle()
        assert len(rig.told) == 1


async def test_every_refusal_shows_the_code_it_is_journaled_under(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        seen = []
        for name in ("x", "y"):
            answer = await client.say("MAIL FROM:<>", f"RCPT TO:<{name}@harbour.example>")
            seen.append(answer.split()[-1])
            await client.say("RSET")
        codes = rig.services.numbers._codes
        assert [codes.encode(told.id) for told in rig.told] == seen
        assert rig.told[1].related == [rig.told[0].id]


async def test_recipient_accepted_before_the_client_gave_up_is_discarded_not_refused(
    make: Make,
) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say(
            "MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "RCPT TO:<x@far.example>"
        )
        await client.close()
        await rig.wait_idle()
        assert states(rig) == [("li@harbour.example", "discarded"), ("x@far.example", "refused")]
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "rcpt.relay-denied"


async def test_connection_lost_in_data_leaves_nothing_behind(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        await client.send(MESSAGE + b"x" * 200_000)
        await rig.wait_until(lambda: any((rig.folder / "spool").rglob("*.part")))
        await client.close()
        await rig.wait_idle()
        await rig.wait_until(lambda: not any((rig.folder / "spool").rglob("*.part")))
        assert states(rig) == [("li@harbour.example", "discarded")]
        assert rig.accepted == []
        assert rig.told[0].size >= len(MESSAGE)


async def test_connection_lost_between_chunks_leaves_nothing_behind(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>")
        await client.send(b"BDAT 10\r\n0123456789")
        assert (await client.reply()).startswith("250")
        await client.close()
        await rig.wait_idle()
        assert states(rig) == [("li@harbour.example", "discarded")]
        assert rig.accepted == []


async def test_message_is_ours_when_the_client_goes_while_it_is_made_durable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as rig:
        held: list[tuple[Message, Done]] = []
        real = rig.spool.accept
        monkeypatch.setattr(rig.spool, "accept", lambda *asked: held.append(asked))
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        await client.send(MESSAGE + b".\r\n")
        await rig.wait_until(lambda: bool(held))
        client.reset()
        await rig.wait_idle()
        assert rig.told == []
        real(*held[0])
        await rig.wait_until(lambda: bool(rig.accepted))
        assert rig.told == []
        assert rig.accepted[0].conversation.recipients[0].state == "waiting"


async def test_disk_that_takes_nothing_is_451_and_the_connection_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as rig:

        def refuse(_message: Message, done: Done) -> None:
            asyncio.get_running_loop().call_soon(done, OSError(28, "No space left on device"))

        client = await rig.connect()
        await client.hello()
        with monkeypatch.context() as patch:
            patch.setattr(rig.spool, "accept", refuse)
            answer = await client.deliver(MESSAGE)
        assert answer.startswith("451 4.3.0 Not accepted for now: our disk")
        assert states(rig) == [("wang@harbour.example", "refused-for-now")]
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "system.overloaded"
        assert rig.told[0].transcript[-1].text == answer
        assert rig.accepted == []
        assert (await client.deliver(MESSAGE)).startswith("250")


async def test_database_trouble_at_rcpt_is_451_for_that_recipient_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as rig:
        real = rig.directory.resolve

        def resolve(address: Address) -> object:
            if address.local == "li":
                raise DatabaseTroubleError("disk I/O error")
            return real(address)

        monkeypatch.setattr(rig.directory, "resolve", resolve)
        client = await rig.connect()
        await client.hello()
        answer = await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>")
        assert answer.startswith("451 4.3.0 Not accepted for now: our database")
        assert (await client.say("RCPT TO:<wang@harbour.example>")).startswith("250")
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        records = rig.accepted[0].conversation.recipients
        assert [record.state for record in records] == ["refused-for-now", "waiting"]


@pytest.mark.parametrize("place", ["mail", "rcpt", "data", "body", "end"])
async def test_unknown_exception_is_451_and_the_next_message_is_taken(
    make: Make, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    async with make() as rig:

        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        client = await rig.connect()
        await client.hello()
        with monkeypatch.context() as patch:
            match place:
                case "mail":
                    patch.setattr(rig.directory, "refresh", fail)
                case "rcpt":
                    patch.setattr(rig.directory, "resolve", fail)
                case "data":
                    patch.setattr(rig.spool, "body", fail)
                case "body":
                    patch.setattr(BodyWriter, "write", fail)
                case _:
                    patch.setattr(rig.outgoing, "prepare", fail)
            await client.send(b"MAIL FROM:<a@far.example>\r\nRCPT TO:<wang@harbour.example>\r\n")
            answers = [await client.reply(), await client.reply()]
            await client.send(b"DATA\r\n")
            answers.append(await client.reply())
            if answers[-1].startswith("354"):
                await client.send(MESSAGE + b".\r\n")
                answers.append(await client.reply())
        assert sum(answer.startswith("451 4.3.0") for answer in answers) == 1
        await client.say("RSET")
        (told,) = rig.told
        assert told.because is not None
        assert (told.because.check, told.because.whose) == ("system.overloaded", "us")
        assert {record.state for record in told.recipients} <= {"refused-for-now"}
        assert (await client.deliver(MESSAGE)).startswith("250")
        assert len(rig.accepted) == 1


async def test_duplicate_recipients_are_delivered_once(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        named = ("info@harbour.example", "wang@harbour.example", "Wang@Harbour.Example")
        await client.deliver(MESSAGE, "a@far.example", *named)
        (message,) = rig.accepted
        assert [str(d.recipient.address) for d in message.deliveries] == ["wang@harbour.example"]
        assert [r.address for r in message.conversation.recipients] == ["info@harbour.example"]
        content = message.content.in_memory
        assert content is not None
        assert b"for <" not in content


async def test_received_names_the_alias_and_not_where_it_leads(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.deliver(MESSAGE, "a@far.example", "sales@harbour.example")
        (message,) = rig.accepted
        assert {str(d.recipient.address) for d in message.deliveries} == {
            "wang@harbour.example",
            "friend@far.example",
        }
        content = message.content.in_memory
        assert content is not None
        assert b"for <sales@harbour.example>" in content
        assert b"friend@far.example" not in content


async def test_message_to_itself_is_taken(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        answer = await client.deliver(MESSAGE, "wang@harbour.example", "wang@harbour.example")
        assert answer.startswith("250")


async def test_hundred_thousand_recipients_end_in_a_clear_goodbye(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<wang@harbour.example>")
        flood = b"".join(b"RCPT TO:<x%d@harbour.example>\r\n" % n for n in range(100_000))
        client.writer.write(flood)
        said = (await client.ended()).decode().splitlines()
        assert said[-1].startswith("421 4.7.0 Too many recipients were not accepted; goodbye PT-")
        assert len(said) == 100
        await client.close()
        await rig.wait_idle()
        (told,) = rig.told
        assert told.recipients[0].state == "discarded"
        assert len(told.recipients) <= 1001


async def test_too_many_good_recipients_are_put_off_and_the_message_is_taken(make: Make) -> None:
    async with make(max_recipients=3) as rig:
        client = await rig.connect()
        await client.hello()
        names = ["wang", "li", "chen", "postmaster"]
        said = await client.say(
            "MAIL FROM:<a@far.example>", *[f"RCPT TO:<{name}@harbour.example>" for name in names]
        )
        assert said.startswith("452 4.5.3")
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert len(rig.accepted[0].deliveries) == 3


async def test_loop_is_refused_by_the_number_of_its_hops(make: Make) -> None:
    async with make(max_hops=5) as rig:
        client = await rig.connect()
        await client.hello()
        hops = b"Received: from a by b; x\r\n"
        assert (await client.deliver(hops * 5 + MESSAGE)).startswith("250")
        answer = await client.deliver(hops * 6 + MESSAGE)
        assert answer.startswith("554 5.4.6 Not accepted: the message went through 6 servers")
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "loop.detected"
        assert rig.told[0].subject == "tea"
        assert states(rig) == [("wang@harbour.example", "refused")]


async def test_endless_header_is_refused(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        answer = await client.deliver(b"X: 0123456789012345678901234567890123456789\r\n" * 8000)
        assert answer.startswith("552 5.3.4 Not accepted: the header is longer")
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "standards.header"


async def test_nearly_full_disk_takes_no_mail_and_says_why(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as rig:
        monkeypatch.setattr(rig.spool.space, "may_accept", lambda: False)
        client = await rig.connect()
        await client.hello()
        answer = await client.say("MAIL FROM:<a@far.example>")
        assert answer.startswith("452 4.3.1 Our disk is nearly full")
        assert (await client.say("RCPT TO:<li@harbour.example>")).startswith("503")
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "system.overloaded"
        assert rig.told[0].mail_from == "a@far.example"
        assert rig.told[0].transcript[-1].text == answer


async def test_gateway_is_asked_and_the_pipelined_rest_waits(make: Make) -> None:
    async with make() as rig:
        rig.gate.open.clear()
        client = await rig.connect()
        await client.hello()
        await client.send(
            b"MAIL FROM:<a@far.example>\r\nRCPT TO:<known@gate.example>\r\n"
            b"RCPT TO:<nobody@gate.example>\r\nNOOP\r\n"
        )
        assert (await client.reply()).startswith("250 2.1.0")
        await rig.wait_until(lambda: rig.gate.asked == ["known"])
        rig.gate.open.set()
        replies = [await client.reply() for _ in range(3)]
        assert [text[:9] for text in replies] == ["250 2.1.5", "550 5.1.1", "250 2.0.0"]


async def test_client_is_answered_when_the_question_to_a_gateway_is_given_up(make: Make) -> None:
    async with make() as rig:
        rig.gate.is_given_up = True
        client = await rig.connect()
        await client.hello()
        said = await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<known@gate.example>")
        assert said.startswith("451 4.3.0")
        rig.gate.is_given_up = False
        assert (await client.say("RCPT TO:<known@gate.example>")).startswith("250")


async def test_client_that_leaves_while_a_gateway_is_asked_disturbs_nobody(make: Make) -> None:
    async with make() as rig:
        rig.gate.open.clear()
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>")
        await client.send(b"RCPT TO:<known@gate.example>\r\n")
        await rig.wait_until(lambda: rig.gate.asked == ["known"])
        client.reset()
        await rig.wait_idle()
        rig.gate.open.set()
        again = await rig.connect()
        await again.hello()
        said = await again.say("MAIL FROM:<a@far.example>", "RCPT TO:<known@gate.example>")
        assert said.startswith("250")
        assert len(rig.told) == 1
        assert rig.services.tally.unknown == {}
