"""Verdicts that differ once the message is there: every mix, and every way to answer it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import combinations_with_replacement, product

import pytest
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener
from tests.reception.test_hearing import CLEAN, FORWARDED, SENDER, connect, place_of, rule

from postern.journal.record import RecipientRecord
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found
from postern.policy.rules.rule import Action
from postern.spool.settings import HoldSettings

PEOPLE = ("wang@harbour.example", "li@harbour.example", "chen@harbour.example")
POSTMASTER = "postmaster@harbour.example"
SILENCE = Finding("content.couldnt-tell", Result.COULDNT_TELL, "the scanner did not answer")
LOOP = Finding("loop.detected", Result.FAIL, "it has been here before")

WORDS = ("accept", "junk", "hold", "refuse", "later")
"""What one recipient's rules make of the message."""
MIXES = [*product(WORDS, repeat=2), *combinations_with_replacement(WORDS, 3)]
IDS = ["-".join(mix) for mix in MIXES]
PLACES = {"accept": "inbox", "junk": "junk", "hold": "held"}
STATES = {"accept": "waiting", "junk": "waiting", "hold": "waiting"}
REFUSED = {"refuse": ("550", "refused"), "later": ("451", "refused-for-now")}


@asynccontextmanager
async def mixed(
    make: Make, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], *, defers: bool = False
) -> AsyncIterator[tuple[Rig, Client]]:
    """A server where a scanner is silent, people who differ in what that means, and a client."""

    async def silent(_letter: object) -> Found:
        return Found((SILENCE,))

    monkeypatch.setattr("postern.app.judging.check_standards", silent)
    one = listener(proxy_protocol=LOOPBACK)
    async with make(one, examines=True, settings={"defers_mixed": defers}) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        for who, word in zip(PEOPLE, words, strict=False):
            if word != "later":
                rule(rig, Action.ALLOW, "all", who, waive="content")
            if word in {"junk", "hold", "refuse"}:
                action = Action.BLOCK if word == "refuse" else Action(word)
                rule(rig, action, "@offers.example", who)
        yield rig, await connect(rig)


async def envelope(client: Client, people: Sequence[str], *, prdr: bool = False) -> list[str]:
    """What RCPT is answered."""
    said = await client.say(f"MAIL FROM:<{SENDER}>{' PRDR' if prdr else ''}")
    assert said.startswith("250"), said
    return [await client.say(f"RCPT TO:<{who}>") for who in people]


async def data(client: Client, answers: int = 1) -> list[str]:
    """Send the message by DATA; so many answers."""
    assert (await client.say("DATA")).startswith("354")
    await client.send(FORWARDED + b".\r\n")
    return [await client.reply() for _ in range(answers)]


def told(rig: Rig) -> list[RecipientRecord]:
    """The recipients on record of the one conversation there was."""
    (conversation,) = [*rig.told, *(message.conversation for message in rig.accepted)]
    return conversation.recipients


def places(rig: Rig) -> list[str]:
    """Where the deliveries of the one message end; empty where there is no message."""
    assert len(rig.outgoing.prepared) == len(rig.accepted) <= 1
    return [place_of(delivery) for message in rig.accepted for delivery in message.deliveries]


def reasons(records: Sequence[RecipientRecord]) -> list[str]:
    """What decided for each recipient."""
    return ["" if one.because is None else one.because.check for one in records]


CHECKS = {
    "accept": "",
    "junk": "rule.junk",
    "hold": "rule.hold",
    "refuse": "rule.block",
    "later": "content.couldnt-tell",
}


@pytest.mark.parametrize("mix", MIXES, ids=IDS)
async def test_one_answer_for_all(
    make: Make, monkeypatch: pytest.MonkeyPatch, mix: tuple[str, ...]
) -> None:
    async with mixed(make, monkeypatch, mix) as (rig, client):
        people = PEOPLE[: len(mix)]
        assert all(said.startswith("250") for said in await envelope(client, people))
        (said,) = await data(client)
        if "later" in mix or set(mix) == {"refuse"}:
            code, state = REFUSED["later" if "later" in mix else "refuse"]
            assert said.startswith(code)
            await rig.wait_until(lambda: bool(rig.told))
            assert [record.state for record in told(rig)] == [state] * len(mix)
            assert places(rig) == []
            return
        assert said.startswith("250")
        assert places(rig) == [PLACES.get(word, "held") for word in mix]
        assert [record.state for record in told(rig)] == ["waiting"] * len(mix)
        assert reasons(told(rig)) == [CHECKS[word] for word in mix]


@pytest.mark.parametrize("mix", MIXES, ids=IDS)
async def test_an_answer_for_each(
    make: Make, monkeypatch: pytest.MonkeyPatch, mix: tuple[str, ...]
) -> None:
    async with mixed(make, monkeypatch, mix) as (rig, client):
        people = PEOPLE[: len(mix)]
        assert all(said.startswith("250") for said in await envelope(client, people, prdr=True))
        takers = [word for word in mix if word in PLACES]
        codes = [REFUSED[word][0] if word in REFUSED else "250" for word in mix]
        # Every block is refused by a rule of its own, and so in words of its own.
        is_one = not set(mix) & set(REFUSED) or set(mix) == {"later"}
        last = "250" if takers else "451" if "later" in mix else "550"
        if is_one:
            (said,) = await data(client)
        else:
            first, *each, said = await data(client, len(mix) + 2)
            assert first.startswith("353 ")
            assert [one[:3] for one in each] == codes
        assert said.startswith(last)
        assert said.split()[-1].startswith("PT-")
        if not takers:
            await rig.wait_until(lambda: bool(rig.told))
        assert places(rig) == [PLACES[word] for word in takers]
        records = {record.address: record for record in told(rig)}
        found = [records[who] for who in people]
        assert [one.state for one in found] == [
            REFUSED[word][1] if word in REFUSED else "waiting" for word in mix
        ]
        assert reasons(found) == [CHECKS[word] for word in mix]
        assert [bool(one.rule) for one in found] == [word != "later" for word in mix]
        for message in rig.accepted:  # the queue writes what becomes of a delivery to its recipient
            for delivery in message.deliveries:
                record = message.conversation.recipients[delivery.index]
                assert record.address == str(delivery.recipient.address)


@pytest.mark.parametrize("mix", MIXES, ids=IDS)
async def test_other_rules_come_later(
    make: Make, monkeypatch: pytest.MonkeyPatch, mix: tuple[str, ...]
) -> None:
    async with mixed(make, monkeypatch, mix, defers=True) as (rig, client):
        said = await envelope(client, PEOPLE[: len(mix)])
        word = mix[0]
        same = [other == word for other in mix]
        assert [one[:3] for one in said] == ["250" if is_same else "452" for is_same in same]
        assert all("4.5.3" in one for one in said if one.startswith("452"))
        (answer,) = await data(client)
        code, state = REFUSED.get(word, ("250", "waiting"))
        assert answer.startswith(code)
        if word in REFUSED:
            await rig.wait_until(lambda: bool(rig.told))
        assert places(rig) == [PLACES[word]] * sum(same) if word in PLACES else not places(rig)
        records = told(rig)
        assert [one.state for one in records] == [
            state if is_same else "refused-for-now" for is_same in same
        ]
        assert reasons(records) == [CHECKS[word] if is_same else "rule.mixed" for is_same in same]


# --- what nobody may have -------------------------------------------------------------------------

LOCKED_MIXES = [(POSTMASTER, PEOPLE[0]), (PEOPLE[0], POSTMASTER), (*PEOPLE[:2], POSTMASTER)]
LOCKED_IDS = ["accept-locked", "locked-accept", "locked-locked-accept"]


@asynccontextmanager
async def locked(
    make: Make, monkeypatch: pytest.MonkeyPatch, *, defers: bool = False
) -> AsyncIterator[tuple[Rig, Client]]:
    """A message that is refused for a reason that no rule lifts, but for postmaster."""

    async def looping(_letter: object) -> Found:
        return Found((LOOP,))

    async with mixed(make, monkeypatch, (), defers=defers) as (rig, client):
        # Somebody else than those who are written to here: one place makes one delivery.
        rig.site.add_alias("postmaster", ["gone@harbour.example", "chen@harbour.example"])
        monkeypatch.setattr("postern.app.judging.check_standards", looping)
        rule(rig, Action.ALLOW, "all", PEOPLE[0])
        yield rig, client


@pytest.mark.parametrize("people", LOCKED_MIXES, ids=LOCKED_IDS)
async def test_what_is_locked_is_refused_for_all_where_all_have_one_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch, people: tuple[str, ...]
) -> None:
    async with locked(make, monkeypatch) as (rig, client):
        await envelope(client, people)
        (said,) = await data(client)
        assert said.startswith("550")
        await rig.wait_until(lambda: bool(rig.told))
        assert {record.state for record in told(rig)} == {"refused"}
        assert places(rig) == []


@pytest.mark.parametrize("people", LOCKED_MIXES, ids=LOCKED_IDS)
async def test_what_is_locked_is_refused_for_each_it_is_locked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, people: tuple[str, ...]
) -> None:
    async with locked(make, monkeypatch) as (rig, client):
        await envelope(client, people, prdr=True)
        _, *each, said = await data(client, len(people) + 2)
        assert [one[:3] for one in each] == [
            "250" if who == POSTMASTER else "550" for who in people
        ]
        assert said.startswith("250")
        assert places(rig) == ["inbox"]


@pytest.mark.parametrize("people", LOCKED_MIXES, ids=LOCKED_IDS)
async def test_postmaster_has_rules_of_its_own(
    make: Make, monkeypatch: pytest.MonkeyPatch, people: tuple[str, ...]
) -> None:
    async with locked(make, monkeypatch, defers=True) as (_rig, client):
        said = await envelope(client, people)
        assert said[0].startswith("250")
        assert said[-1].startswith("452")
        (answer,) = await data(client)
        assert answer.startswith("250" if people[0] == POSTMASTER else "550")


# --- an answer for each, from near ----------------------------------------------------------------


async def test_prdr_is_offered_where_mail_is_looked_at(make: Make) -> None:
    async with make(examines=True) as rig:
        client = await rig.connect()
        assert "250-PRDR" in (await client.hello()).splitlines()
    async with make() as rig:
        client = await rig.connect()
        assert "PRDR" not in await client.hello()
        assert (await client.say("MAIL FROM:<a@far.example> PRDR")).startswith("555")


async def test_every_rcpt_is_answered_however_often_it_names_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("accept", "refuse")) as (rig, client):
        wang, li, _ = PEOPLE
        await envelope(client, [wang, "nobody@harbour.example", li, wang, li], prdr=True)
        first, *each, last = await data(client, 6)
        assert first.startswith("353")
        assert [one[:3] for one in each] == ["250", "550", "250", "550"]
        assert last.startswith("250")
        assert [record.address for record in told(rig) if record.state == "waiting"] == [wang]
        assert places(rig) == ["inbox"]


async def test_a_mailbox_behind_one_that_is_refused_is_still_reached_by_its_own_name(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The list leads to wang and to chen, who wants it later; wang is named as well.
    async with mixed(make, monkeypatch, ("accept", "accept", "later")) as (rig, client):
        rig.site.add_alias("list@harbour.example", [PEOPLE[0], PEOPLE[2]])
        await envelope(client, ["list@harbour.example", PEOPLE[0]], prdr=True)
        _, *each, last = await data(client, 4)
        assert [one[:3] for one in each] == ["451", "250"]
        assert last.startswith("250")
        (message,) = rig.accepted
        (delivery,) = message.deliveries
        assert str(delivery.recipient.address) == delivery.original == PEOPLE[0]
        assert message.conversation.recipients[delivery.index].address == PEOPLE[0]


async def test_places_behind_one_name_share_its_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("accept", "refuse", "refuse")) as (rig, client):
        rig.site.add_alias("list@harbour.example", [PEOPLE[0], PEOPLE[1]])
        await envelope(client, ["list@harbour.example", PEOPLE[2]], prdr=True)
        _, *each, _last = await data(client, 4)
        assert [one[:3] for one in each] == ["250", "550"]
        assert places(rig) == ["inbox", "held"]


async def test_who_may_not_have_more_held_comes_later_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("hold", "accept")) as (rig, client):
        rig.spool.holdings.resize(HoldSettings(most_messages=1))
        await envelope(client, PEOPLE[:2], prdr=True)
        assert (await data(client))[0].startswith("250")
        await envelope(client, PEOPLE[:2], prdr=True)
        first, held, taken, last = await data(client, 4)
        assert first.startswith("353")
        assert held.startswith("452 4.2.2 ")
        assert (taken[:3], last[:3]) == ("250", "250")
        _, second = rig.accepted
        assert [str(d.recipient.address) for d in second.deliveries] == [PEOPLE[1]]
        states = {record.address: record.state for record in second.conversation.recipients}
        assert states == {PEOPLE[0]: "refused-for-now", PEOPLE[1]: "waiting"}


async def test_chunks_are_answered_for_each_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("refuse", "accept")) as (rig, client):
        await envelope(client, PEOPLE[:2], prdr=True)
        await client.send(f"BDAT {len(FORWARDED)} LAST\r\n".encode() + FORWARDED)
        said = [(await client.reply())[:3] for _ in range(4)]
        assert said == ["353", "550", "250", "250"]
        assert places(rig) == ["inbox"]
        assert (await client.say("NOOP")).startswith("250")


async def test_only_the_next_transaction_that_asks_has_answers_for_each(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("accept", "refuse")) as (rig, client):
        await envelope(client, PEOPLE[:2], prdr=True)
        assert len(await data(client, 4)) == 4
        await envelope(client, PEOPLE[:2])
        assert (await data(client))[0].startswith("250")
        assert [place_of(one) for one in rig.accepted[1].deliveries] == ["inbox", "held"]


async def test_who_refuses_is_told_so_and_who_takes_it_waits_when_our_disk_fails(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("accept", "refuse")) as (rig, client):
        monkeypatch.setattr(
            rig.spool, "accept", lambda _message, done: done(OSError("no space left"))
        )
        await envelope(client, PEOPLE[:2], prdr=True)
        said = [one[:3] for one in await data(client, 4)]
        assert said == ["353", "451", "550", "451"]
        await rig.wait_until(lambda: bool(rig.told))
        assert [one.state for one in told(rig)] == ["refused-for-now", "refused"]


async def test_each_refusal_counts_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mixed(make, monkeypatch, ("refuse", "refuse", "accept")) as (rig, client):
        await envelope(client, PEOPLE, prdr=True)
        await data(client, 5)
        assert rig.services.tally.refusals == {"rule.block": 2}
        policy = rig.services.policy
        assert policy is not None
        assert {hits for hits, _ in policy.memory.uses.take().values()} == {1}


async def test_who_asks_for_an_answer_for_each_need_not_come_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mixed(make, monkeypatch, ("accept", "refuse"), defers=True) as (_rig, client):
        said = await envelope(client, PEOPLE[:2], prdr=True)
        assert [one[:3] for one in said] == ["250", "250"]
        assert (await data(client, 4))[-1].startswith("250")


async def test_recipients_in_different_domains_without_rules_go_together(make: Make) -> None:
    one = listener(proxy_protocol=LOOPBACK)
    async with make(one, examines=True, settings={"defers_mixed": True}) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        rule(rig, Action.HOLD, "203.0.113.9")  # about another client
        client = await connect(rig)
        said = await envelope(client, [PEOPLE[0], "anyone@catch.example"])
        assert [one[:3] for one in said] == ["250", "250"]
