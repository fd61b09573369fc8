"""Mail of our own users and of this machine is shown to the scanners too, and nothing else judges.

The scanner here is a real program; clamd and rspamd stand in ``tests/journeys/test_scanners.py``.
"""

import asyncio
import ssl
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener

from postern.policy.rules.draft import Draft
from postern.policy.rules.match import Match, MatchKind
from postern.policy.rules.rule import Action, Scope, Treatment
from postern.policy.scanners.place import Place
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.reception.settings import Kind as ListenerKind
from postern.spool.message import DeliveryState, Origin

MESSAGE = b"From: wang@harbour.example\r\nSubject: tea\r\n\r\nHello\r\n"
BAD = MESSAGE + b"forbidden\r\n"
UNSEEN = MESSAGE + b"unreadable\r\n"
SCRIPT = 'm=$(cat); case "$m" in *forbidden*) exit 1;; *unreadable*) exit 9;; esac'
OURS = ScannerSettings("ours", Kind.COMMAND, argv=("/bin/sh", "-c", SCRIPT))
RELAY = (ip_network("127.0.0.0/8"),)


async def relay(rig: Rig) -> Client:
    client = await rig.connect()
    await client.hello()
    return client


async def test_what_a_relay_client_sends_out_is_looked_at(make: Make) -> None:
    async with make(listener(relay_from=RELAY), scanners=[OURS]) as rig:
        client = await relay(rig)
        far = "friend@far.example"
        assert (await client.deliver(MESSAGE, "wang@harbour.example", far)).startswith("250")
        (message,) = rig.accepted
        assert message.origin is Origin.OURS
        assert ("command.found", "pass") in [
            (step.step, step.result) for step in message.conversation.steps
        ]
        refused = await client.deliver(BAD, "wang@harbour.example", far)
        assert refused.startswith("550-5.7.1 Not accepted: this server's own scanner refuses it")
        assert len(rig.accepted) == 1
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "command.found"
        assert told.recipients[0].state == "refused"


async def test_what_somebody_sends_who_logged_in_is_looked_at(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(listener(ListenerKind.SUBMISSION), scanners=[OURS]) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        refused = await client.deliver(BAD, "wang@harbour.example", "friend@far.example")
        assert refused.startswith("550-5.7.1 ")
        taken = await client.deliver(MESSAGE, "wang@harbour.example", "friend@far.example")
        assert taken.startswith("250")


async def test_unscanned_mail_that_leaves_is_treated_as_the_senders_domain_says(make: Make) -> None:
    async with make(listener(relay_from=RELAY), scanners=[OURS]) as rig:
        client = await relay(rig)
        envelope = ("wang@harbour.example", "friend@far.example")
        assert (await client.deliver(UNSEEN, *envelope)).startswith("451-4.3.0 ")
        rig.rules.treat("command.couldnt-tell", Treatment.NOTE, "harbour.example")
        assert (await client.deliver(UNSEEN, *envelope)).startswith("250")
        (message,) = rig.accepted
        data = message.content.in_memory
        assert data is not None
        assert data.startswith(b"X-Postern-Unscanned: command\r\n\t(ours: ")
        assert b"status 9" not in data
        rig.rules.treat("command.couldnt-tell", Treatment.HOLD, "harbour.example")
        assert (await client.deliver(UNSEEN, *envelope)).startswith("250")
        held = rig.accepted[-1].deliveries[0]
        assert (held.state, held.held_for) == (DeliveryState.HELD, "command.couldnt-tell")


async def test_rules_of_a_recipient_are_not_asked_about_this_machines_own_mail(make: Make) -> None:
    """As without a scanner: a rule that blocks everybody does not block the machine's programs."""
    async with make(scanners=[OURS]) as rig:
        everybody = Match(MatchKind.ALL)
        block = Draft(Action.BLOCK, everybody, Scope.MAILBOX, "wang@harbour.example", "a test")
        rig.rules.add(block)
        client = await relay(rig)
        assert (await client.deliver(MESSAGE)).startswith("250")
        assert (await client.deliver(BAD)).startswith("550")


async def test_spam_is_not_looked_for_in_mail_of_our_own_users(make: Make) -> None:
    spam = ScannerSettings("rspamd", Kind.RSPAMD, Place("/nowhere"))
    async with make(listener(relay_from=RELAY), scanners=[spam]) as rig:
        client = await relay(rig)
        assert (await client.deliver(MESSAGE, "wang@harbour.example")).startswith("250")
        policy = rig.services.policy
        assert policy is not None
        assert policy.scanners is not None
        assert policy.scanners.statuses()[0].counts.scans == {}


async def test_message_in_a_file_is_shown_whole_and_gone_when_it_is_refused(
    make: Make, tmp_path: Path
) -> None:
    """More than what is kept in memory; the last octets are what the scanner looks for."""
    long = MESSAGE + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 6000
    argv = ("/bin/sh", "-c", 'tail -c 12 "$0" | grep -q forbidden && exit 1; exit 0', "{file}")
    scanner = ScannerSettings("ours", Kind.COMMAND, argv=argv, folder=tmp_path / "copies")
    async with make(listener(relay_from=RELAY), scanners=[scanner]) as rig:
        client = await relay(rig)
        assert (await client.deliver(long + b"forbidden\r\n")).startswith("550")
        bodies = rig.folder / "spool" / "0"
        await rig.wait_until(lambda: not list(bodies.iterdir()))
        assert (await client.deliver(long)).startswith("250")
        (message,) = rig.accepted
        assert message.content.size_bytes > len(long)
        assert list((tmp_path / "copies").iterdir()) == []


async def test_client_that_leaves_while_its_message_is_looked_at_leaves_nothing_behind(
    make: Make, tmp_path: Path
) -> None:
    """Nobody waits for the scan any more, so the program is ended and its place is free."""
    mark = tmp_path / "begun"
    script = f"cat > {mark}; sleep 600"
    scanner = ScannerSettings("ours", Kind.COMMAND, argv=("/bin/sh", "-c", script))
    async with make(listener(relay_from=RELAY), scanners=[scanner]) as rig:
        client = await relay(rig)
        await client.say("MAIL FROM:<wang@harbour.example>", "RCPT TO:<li@harbour.example>", "DATA")
        await client.send(MESSAGE + b".\r\n")
        await rig.wait_until(mark.exists)
        client.reset()
        await rig.wait_idle()
        policy = rig.services.policy
        assert policy is not None
        scanners = policy.scanners
        assert scanners is not None
        await rig.wait_until(lambda: scanners.statuses()[0].running == 0)
        await asyncio.sleep(0)
        assert rig.accepted == []
        (told,) = rig.told
        assert told.recipients[0].state == "discarded"


@pytest.mark.parametrize("others_check", [True, False], ids=["here only", "everywhere"])
async def test_forged_marks_are_taken_out_where_checks_are_off_too_and_nothing_else_is_touched(
    make: Make, *, others_check: bool
) -> None:
    ours = b"X-Postern-Spam: no, score=-99\r\nX-Postern-Junk: no\r\n" + (
        b"Authentication-Results: mx.harbour.example;\r\n dmarc=pass\r\n"
    )
    others = b"Authentication-Results: mx.far.example; dmarc=pass\r\n"
    long = MESSAGE + b"line\r\n" * 50_000
    bare = replace(listener(proxy_protocol=LOOPBACK), examines=False)
    async with make(bare, examines=others_check) as rig:
        for sent in (MESSAGE, long):
            client = await rig.connect()
            await client.send(b"PROXY TCP4 198.51.100.24 192.0.2.1 4711 25\r\n")
            await client.hello()
            assert (await client.deliver(ours + others + sent)).startswith("250")
            data = b"".join([piece async for piece in rig.accepted[-1].content.chunks()])
            assert data.startswith(b"Received: ")
            assert data.endswith(b"\r\n" + others + sent)
            assert b"X-Postern" not in data
            assert b"mx.harbour.example; dmarc" not in data.replace(b"\r\n", b"")


async def test_program_on_this_machine_has_its_header_left_alone(make: Make) -> None:
    sent = b"X-Postern-Spam: yes, score=9\r\n" + MESSAGE
    async with make(listener(), examines=True) as rig:
        client = await rig.connect()
        await client.hello()
        assert (await client.deliver(sent)).startswith("250")
        data = rig.accepted[0].content.in_memory
        assert data is not None
        assert data.endswith(b"\r\n" + sent)


async def test_outsider_on_a_listener_without_checks_is_scanned_and_not_looked_up(
    make: Make,
) -> None:
    bare = replace(listener(proxy_protocol=LOOPBACK), examines=False)
    async with make(bare, examines=True, scanners=[OURS]) as rig:
        client = await rig.connect()
        await client.send(b"PROXY TCP4 198.51.100.24 192.0.2.1 4711 25\r\n")
        await client.hello()
        assert (await client.deliver(BAD)).startswith("550-5.7.1 ")
        assert (await client.deliver(MESSAGE)).startswith("250")
        steps = {step.step for step in rig.accepted[0].conversation.steps}
        assert "command.found" in steps
        assert not any(step.startswith(("ptr", "spf", "dkim")) for step in steps)
