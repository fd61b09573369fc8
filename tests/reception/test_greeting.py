"""The greeting is held back a moment: who talks before it is found out, who waits is remembered."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener
from tests.reception.test_hearing import CLEAN, IP, LI, MESSAGE, SENDER, WANG, rcpt, rule

from postern.policy.rules.rule import Action, Treatment
from postern.reception.greeting import KEEP_S, PatientClients
from postern.runtime.clock import Clock, FakeClock

FOREVER_S = 60.0
"""A test that waits so long has failed."""
PROXY = f"PROXY TCP4 {IP} 192.0.2.1 4711 25\r\n".encode()


@asynccontextmanager
async def greeting(
    make: Make, wait_s: float = FOREVER_S, clock: Clock | None = None
) -> AsyncIterator[Rig]:
    """A server that makes unknown clients wait."""
    listening = listener(proxy_protocol=LOOPBACK, greeting_wait_s=wait_s)
    async with make(listening, examines=True, clock=clock) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        yield rig


async def talk_early(rig: Rig) -> Client:
    """Say EHLO before the greeting, once the server waits."""
    client = await rig.connect()
    await client.send(PROXY)
    await rig.wait_until(lambda: rig.reception.counts.open == 1)
    await client.send(b"EHLO mail.tea.example\r\n")
    assert (await client.reply()).startswith("220")
    assert (await client.reply()).startswith("250")
    return client


async def test_a_client_that_talks_before_the_greeting_is_refused_at_rcpt_with_the_cause(
    make: Make,
) -> None:
    async with greeting(make) as rig:
        client = await talk_early(rig)
        (said,) = await rcpt(client, WANG)
        first, second = said.splitlines()
        assert first == "550-5.5.1 Not accepted: your mail server did not wait to be greeted."
        assert second.startswith("550 5.5.1 Whoever runs your mail server can fix this.")
        await client.say("QUIT")
        await rig.wait_idle()
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "standards.early-talk"
        assert rig.services.tally.refusals["standards.early-talk"] == 1
        assert len(rig.services.patient) == 0


async def test_bytes_right_behind_a_proxy_header_came_before_the_greeting(make: Make) -> None:
    async with greeting(make) as rig:
        client = await rig.connect()
        await client.send(PROXY + b"EHLO mail.tea.example\r\n")
        assert (await client.reply()).startswith("220")
        assert (await client.reply()).startswith("250")
        (said,) = await rcpt(client, WANG)
        assert said.startswith("550-5.5.1")


async def test_a_rule_of_one_mailbox_waives_it_for_that_mailbox_alone(make: Make) -> None:
    async with greeting(make) as rig:
        label = rule(rig, Action.ALLOW, IP, waive="standards")
        client = await talk_early(rig)
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["250", "550"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert rig.accepted[0].conversation.recipients[0].rule == label


@pytest.mark.parametrize(
    ("treatment", "answer", "places"),
    [
        (Treatment.OFF, "250", ["inbox"]),
        (Treatment.NOTE, "250", ["inbox"]),
        (Treatment.JUNK, "250", ["junk"]),
        (Treatment.HOLD, "250", ["held"]),
        (Treatment.REFUSE, "550", []),
    ],
)
async def test_every_treatment_of_early_talk(
    make: Make, treatment: Treatment, answer: str, places: list[str]
) -> None:
    async with greeting(make) as rig:
        rig.rules.treat("standards.early-talk", treatment, "harbour.example")
        client = await talk_early(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith(answer)
        if answer == "250":
            await client.say("DATA")
            await client.send(MESSAGE + b".\r\n")
            assert (await client.reply()).startswith("250")
        found = [delivery for message in rig.accepted for delivery in message.deliveries]
        words = ["held" if one.held_for else "junk" if one.is_junk else "inbox" for one in found]
        assert words == places


async def test_who_waited_once_is_greeted_at_once_for_a_day(make: Make) -> None:
    clock = FakeClock()
    async with greeting(make, 0.1, clock) as rig:

        async def greeted_after_s() -> float:
            client = await rig.connect()
            began = time.monotonic()
            await client.send(PROXY)
            assert (await client.reply()).startswith("220")
            took = time.monotonic() - began
            await client.say("EHLO mail.tea.example")
            assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
            return took

        assert await greeted_after_s() > 0.09  # timers of the loop have whole milliseconds
        assert len(rig.services.patient) == 1
        assert rig.services.patient.knows(IP, clock.monotonic())
        waits = [step.step for step in rig.accepted[0].conversation.steps]
        assert "standards.early-talk" not in waits
        clock.advance(KEEP_S - 1)
        assert rig.services.patient.knows(IP, clock.monotonic())
        clock.advance(2)
        assert await greeted_after_s() >= 0.1  # it is asked anew


async def test_a_known_client_does_not_wait_at_all(make: Make) -> None:
    async with greeting(make) as rig:
        rig.services.patient.remember(IP, rig.clock.monotonic())
        client = await rig.connect()
        await client.send(PROXY)
        assert (await client.reply()).startswith("220")  # and not after FOREVER_S


async def test_the_address_is_looked_at_while_the_client_waits(make: Make) -> None:
    async with greeting(make) as rig:
        client = await rig.connect()
        await client.send(PROXY)
        await rig.wait_until(lambda: len(rig.resolver.queries) >= 2)  # its name, and back
        client.reset()
        await rig.wait_idle()


@pytest.mark.parametrize("how", ["closes", "resets", "ends its side"])
async def test_a_client_that_leaves_before_it_was_greeted_is_no_trouble(
    make: Make, how: str
) -> None:
    async with greeting(make) as rig:
        client = await rig.connect()
        await client.send(PROXY)
        await rig.wait_until(lambda: rig.reception.counts.open == 1)
        match how:
            case "closes":
                client.writer.close()
            case "resets":
                client.reset()
            case _:
                client.writer.write_eof()
        await rig.wait_idle()
        assert len(rig.services.patient) == 0
        assert rig.told[-1].because is None


async def test_a_server_that_stops_says_so_in_the_greetings_place(make: Make) -> None:
    async with greeting(make, 0.2) as rig:
        client = await rig.connect()
        await client.send(PROXY)
        await rig.wait_until(lambda: rig.reception.counts.open == 1)
        stopping = asyncio.create_task(rig.reception.stop(1.0))
        said = await client.ended()
        await stopping
        assert said.startswith(b"421 4.3.2 ")
        assert said.count(b"\r\n") == 1


async def test_clients_of_this_machine_and_those_who_may_relay_do_not_wait(make: Make) -> None:
    everybody = listener(relay_from=LOOPBACK, greeting_wait_s=FOREVER_S)
    async with make(everybody, listener(greeting_wait_s=FOREVER_S), examines=True) as rig:
        for index in (0, 1):
            client = await rig.connect(index)
            assert (await client.reply()).startswith("220")


def test_only_so_many_clients_are_remembered_and_the_least_seen_goes_first() -> None:
    patient = PatientClients(most=2)
    patient.remember("192.0.2.1", 0.0)
    patient.remember("192.0.2.2", 1.0)
    assert patient.knows("192.0.2.1", 2.0)
    patient.remember("192.0.2.3", 3.0)
    assert [patient.knows(f"192.0.2.{n}", 4.0) for n in (1, 2, 3)] == [True, False, True]
    assert not patient.knows("192.0.2.1", KEEP_S)
    assert len(patient) == 1
