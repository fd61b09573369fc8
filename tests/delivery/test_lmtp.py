"""LMTP to scripted stores and to a real Dovecot: an answer for each recipient."""

from pathlib import Path

import pytest
from tests.delivery.jobs import BODY, Streamed, job, settings, until
from tests.delivery.scripted import Act, Script, peer
from tests.peers.dovecot import dovecot
from tests.peers.process import free_port

from postern.delivery.job import Job
from postern.delivery.lmtp import LmtpDelivery, parse_endpoint
from postern.mail.address import Address
from postern.mail.content import BytesContent
from postern.mail.envelope import Notify, Recipient, Sender
from postern.mail.outcome import Cause, Deferred, Delivered, Refused
from postern.mail.route import LmtpRoute
from postern.runtime.clock import SystemClock


def lmtp() -> LmtpDelivery:
    return LmtpDelivery(settings(), SystemClock())


async def test_store_on_a_unix_socket_takes_message_after_message(short_dir: Path) -> None:
    socket = str(short_dir / "lmtp")
    async with peer(path=socket) as store:
        delivery = lmtp()
        way = LmtpRoute("local", f"unix:{socket}")
        results = [await delivery.deliver(way, job()) for _ in range(3)]
        assert {type(result.outcomes[0]) for result in results} == {Delivered}
        (record,) = results[-1].attempts
        assert (record.egress, record.mx, record.address) == ("lmtp", "local", f"unix:{socket}")
        await delivery.close(1)
    assert store.connections == 1
    assert store.verbs()[0] == "LHLO"
    assert store.messages == [BODY] * 3


async def test_store_that_went_away_while_resting_is_called_again() -> None:
    async with peer() as store:
        delivery = lmtp()
        way = LmtpRoute("local", f"127.0.0.1:{store.port}")
        await delivery.deliver(way, job())
        store.hang_up()
        result = await delivery.deliver(way, job())
        assert isinstance(result.outcomes[0], Delivered)
        assert store.connections == 2
        await delivery.close(1)


async def test_recipients_have_answers_of_their_own() -> None:
    script = Script(
        answers={"RCPT TO:<eve@peer.test>": "550 5.1.1 nobody", "DOT": "452 4.2.2 full"}
    )
    async with peer(script) as store:
        delivery = lmtp()
        result = await delivery.deliver(
            LmtpRoute("local", f"127.0.0.1:{store.port}"), job("bob", "eve")
        )
        await delivery.close(1)
    assert [type(o) for o in result.outcomes] == [Deferred, Refused]
    assert [r.recipients for r in result.attempts] == [(0,), (1,)]


@pytest.mark.parametrize(
    ("full", "told"),
    [
        ("552 5.2.2 <bob@peer.test> Mailbox is full", "452 4.2.2"),
        ("554 5.2.2 Quota exceeded", "452 4.2.2"),
        ("552 Requested mail action aborted: exceeded storage allocation", "452 4.2.2"),
        ("554 5.3.1 no room on the disk", "452 4.3.1"),
    ],
    ids=["552", "554", "bare", "store"],
)
async def test_where_there_is_no_room_what_was_accepted_never_bounces(full: str, told: str) -> None:
    script = Script(answers={"RCPT TO:<eve@peer.test>": full, "DOT": full})
    async with peer(script) as store:
        delivery = lmtp()
        way = LmtpRoute("local", f"127.0.0.1:{store.port}")
        result = await delivery.deliver(way, job("bob", "eve"))
        await delivery.close(1)
    assert [type(o) for o in result.outcomes] == [Deferred, Deferred]
    assert isinstance(result.outcomes[1], Deferred)
    assert str(result.outcomes[0].reply)[:9] == told
    assert {record.outcome for record in result.attempts} == {"deferred"}


@pytest.mark.parametrize(
    "never",
    ["552 5.2.3 larger than the mailbox", "552 5.3.4 too large", "554 no", "550 5.7.1 no"],
    ids=["mailbox", "store", "bare", "policy"],
)
async def test_what_room_would_not_help_is_refused(never: str) -> None:
    async with peer(Script(answers={"DOT": never})) as store:
        delivery = lmtp()
        result = await delivery.deliver(LmtpRoute("local", f"127.0.0.1:{store.port}"), job())
        await delivery.close(1)
    assert isinstance(result.outcomes[0], Refused)


@pytest.mark.parametrize("greeting", [Act.CLOSE, Act.RESET, "421 4.3.2 busy", "500 what"])
async def test_store_that_is_unwell_defers(greeting: str | Act) -> None:
    async with peer(Script(greeting=greeting)) as store:
        delivery = lmtp()
        result = await delivery.deliver(LmtpRoute("local", f"127.0.0.1:{store.port}"), job())
        await delivery.close(1)
    assert isinstance(result.outcomes[0], Deferred)


async def test_no_store_defers(short_dir: Path) -> None:
    delivery = lmtp()
    missing = f"unix:{short_dir / 'missing'}"
    for endpoint in (missing, f"127.0.0.1:{free_port()}", "nonsense", "unix:", "a:99999"):
        result = await delivery.deliver(LmtpRoute("local", endpoint), job())
        outcome = result.outcomes[0]
        assert isinstance(outcome, Deferred)
        assert outcome.cause in {Cause.LOCAL, Cause.REFUSED}
    await delivery.close(1)


def test_endpoints_are_paths_or_hosts_with_ports() -> None:
    six = parse_endpoint("[::1]:24")
    assert six is not None
    assert (six.ip, six.port) == ("::1", 24)
    unix = parse_endpoint("unix:/run/lmtp")
    assert unix is not None
    assert unix.path == "/run/lmtp"
    assert parse_endpoint("host:") is None


@pytest.mark.peers("dovecot")
async def test_dovecot_keeps_what_it_is_given() -> None:
    def mail(*addresses: Address, data: bytes) -> Job:
        asked = tuple(Recipient(a, notify=Notify.SUCCESS) for a in addresses)
        return Job("PT-1", Sender(Address("ann", "us.test")), asked, BytesContent(data))

    ann, bob = Address("ann", "dove.test"), Address("bob", "dove.test")
    unsafe = b"Subject: x\r\n\r\n.\r\n..two\r\n.\nMAIL FROM:<eve@x.test>\n.\r\n"
    with dovecot() as store:
        delivery = lmtp()
        for endpoint in (f"unix:{store.lmtp_socket}", f"127.0.0.1:{store.lmtp_port}"):
            way = LmtpRoute("local", endpoint)
            result = await delivery.deliver(way, mail(ann, bob, data=BODY))
            assert [type(o) for o in result.outcomes] == [Delivered, Delivered]
            result = await delivery.deliver(way, mail(ann, data=unsafe))
            (outcome,) = result.outcomes
            assert isinstance(outcome, Delivered)
            assert not outcome.relayed_without_dsn
            piece = (b"z" * 70 + b"\r\n") * 1000
            large = await delivery.deliver(
                way,
                Job(
                    "PT-1",
                    Sender(None),
                    (Recipient(bob),),
                    Streamed(b"Subject: y\r\n\r\n" + piece, 40),
                ),
            )
            assert isinstance(large.outcomes[0], Delivered)
        await delivery.close(1)
        texts = store.messages("ann@dove.test")
        assert len(texts) == 4
        assert sum(text.endswith(BODY) for text in texts) == 2
        ended = b".\r\n..two\r\n.\r\nMAIL FROM:<eve@x.test>\r\n.\r\n"
        assert sum(text.endswith(ended) for text in texts) == 2
        assert len(store.messages("bob@dove.test")) == 4


async def test_resting_connections_close_in_time() -> None:
    async with peer() as store:
        delivery = LmtpDelivery(settings(reuse_idle_s=0.05), SystemClock())
        await delivery.deliver(LmtpRoute("local", f"127.0.0.1:{store.port}"), job())
        await until(lambda: "QUIT" in store.verbs())
        await delivery.close(1)
