"""Our own users: who they are, what they may send as, and how their mail is made fit to travel."""

import ssl

import pytest
from tests.reception.rig import LOOPBACK, PASSWORD, Make, Rig, listener, plain

from postern.directory.credentials import CouldntTell
from postern.mail.envelope import TlsWish
from postern.reception.settings import Kind

SUBMISSION = listener(Kind.SUBMISSION)


def content(rig: Rig) -> bytes:
    octets = rig.accepted[-1].content.in_memory
    assert octets is not None
    return octets


async def test_mail_to_anyone_after_login_and_its_marks(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        sent = b"Subject: x\r\nBcc: li@harbour.example,\r\n chen@harbour.example\r\n\r\nhi\r\n"
        answer = await client.deliver(sent, "wang@harbour.example", "friend@far.example")
        assert answer.startswith("250")
        mail = content(rig)
        assert b"with ESMTPSA (TLS1.3 cipher" in mail.replace(b"\r\n\t", b" ")
        assert b"Bcc" not in mail
        assert b"chen@" not in mail
        assert b"From: wang@harbour.example\r\n" in mail
        assert b"Date: " in mail
        told = rig.accepted[0].conversation
        assert told.message_id.endswith("@mx.harbour.example>")
        assert (told.direction, told.account) == ("out", "wang@harbour.example")


async def test_nobody_sends_through_submission_without_login(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.hello()
        said = await client.say("MAIL FROM:<wang@harbour.example>")
        assert said.startswith("530 5.7.0 Say STARTTLS first")
        await client.starttls(trusting)
        await client.say("EHLO c")
        said = await client.say("MAIL FROM:<wang@harbour.example>")
        assert said.startswith("530 5.7.0 Sign in first")
        checks = [told.because.check for told in rig.told if told.because]
        assert checks == ["rcpt.relay-denied", "rcpt.relay-denied"]


async def test_wrong_password_then_right_one_is_not_held_against_the_mail(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.hello()
        await client.starttls(trusting)
        await client.say("EHLO c")
        said = await client.say(f"AUTH PLAIN {plain('wang@harbour.example', 'wrong')}")
        assert said.startswith("535 5.7.8 Name or password is wrong")
        said = await client.say(f"AUTH PLAIN {plain('wang@harbour.example', PASSWORD)}")
        assert said.startswith("235")
        await client.say("MAIL FROM:<wang@harbour.example>", "RCPT TO:<no@harbour.example>", "RSET")
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "rcpt.unknown"
        assert "auth.failed" in [step.step for step in told.steps]
        assert PASSWORD not in repr(told)


async def test_guesser_is_sent_away_and_journaled_once(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.hello()
        await client.starttls(trusting)
        await client.say("EHLO c")
        said = [await client.say(f"AUTH PLAIN {plain('wang', f'p{n}')}") for n in range(5)]
        assert [text[:3] for text in said] == ["535"] * 4 + ["421"]
        await client.close()
        await rig.wait_idle()
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "auth.failed"
        assert rig.services.tally.refusals == {"auth.failed": 5}


async def test_couldnt_check_is_454_and_no_failure(
    make: Make, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_name: str, _password: str) -> CouldntTell:
        return CouldntTell("64 log-ins are being checked already")

    async with make(SUBMISSION) as rig:
        monkeypatch.setattr(rig.authenticator, "authenticate", busy)
        client = await rig.connect()
        await client.hello()
        await client.starttls(trusting)
        await client.say("EHLO c")
        said = await client.say(f"AUTH PLAIN {plain('wang@harbour.example', PASSWORD)}")
        assert said.startswith("454 4.7.0")
        assert rig.services.tally.refusals == {}
        assert rig.services.tally.unknown == {"auth.couldnt-tell": 1}


async def test_signing_in_to_act_as_another_is_refused(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.hello()
        await client.starttls(trusting)
        await client.say("EHLO c")
        token = plain("wang@harbour.example", PASSWORD, "li@harbour.example")
        assert (await client.say(f"AUTH PLAIN {token}")).startswith("535")


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("wang@harbour.example", "250"),
        ("wang+shop@harbour.example", "250"),
        ("info@harbour.example", "250"),
        ("", "250"),
        ("li@harbour.example", "553"),
        ("wang@far.example", "553"),
    ],
)
async def test_login_sends_only_as_its_own_addresses(
    make: Make, trusting: ssl.SSLContext, sender: str, code: str
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        said = await client.say(f"MAIL FROM:<{sender}>")
        assert said.startswith(code)
        if code == "553":
            assert f"wang@harbour.example may not send as {sender}" in said
            assert rig.told[0].because is not None
            assert rig.told[0].because.check == "auth.sender-mismatch"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"From: Wang <info@harbour.example>\r\n", "250"),
        (b"From:  \r\n", "250"),
        (b"From: li@harbour.example\r\n", "may not send as li@harbour.example, which the From"),
        (b"From: wang@harbour.example, li@harbour.example\r\n", "may not send as li@"),
        (b"From: wang@harbour.example\r\nFrom: li@harbour.example\r\n", "with 2 From headers"),
        (b"From: <li@harbour.example\r\n", "not a proper list of mail addresses"),
    ],
)
async def test_visible_sender_is_bound_too(
    make: Make, trusting: ssl.SSLContext, header: bytes, said: str
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        answer = await client.deliver(
            header + b"Subject: x\r\n\r\nhi\r\n", "wang@harbour.example", "b@far.example"
        )
        if said == "250":
            assert answer.startswith("250")
        else:
            assert answer.startswith("550 5.7.1 Not accepted: ")
            assert said in answer
            assert rig.told[0].because is not None
            assert rig.told[0].because.check == "auth.sender-mismatch"
            assert rig.told[0].recipients[0].state == "refused"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"no header at all\r\n", b"\r\n\r\nno header at all\r\n"),
        (b"\r\nonly a body\r\n", b"\r\n\r\nonly a body\r\n"),
        (b"Subject: only a header\r\n", b"Subject: only a header\r\n"),
        (b"Subject: \xe6\x9d\xb1\r\n\r\n8 bit: \xff\xfe\r\n", b"\r\n8 bit: \xff\xfe\r\n"),
        (b"", b""),
    ],
)
async def test_odd_messages_are_mended_and_kept_whole(make: Make, sent: bytes, kept: bytes) -> None:
    async with make(listener(relay_from=LOOPBACK)) as rig:
        client = await rig.connect()
        await client.hello()
        answer = await client.deliver(sent, "wang@harbour.example", "b@far.example")
        assert answer.startswith("250")
        mail = content(rig)
        assert mail.endswith(kept)
        assert mail.count(b"Message-ID:") == 1
        assert mail.startswith(b"Received: ")


async def test_header_too_long_to_be_searched_for_bcc_is_refused(make: Make) -> None:
    async with make(listener(relay_from=LOOPBACK)) as rig:
        client = await rig.connect()
        await client.hello()
        header = b"X: 0123456789012345678901234567890123456789\r\n" * 8000
        answer = await client.deliver(header + b"Bcc: c@far.example\r\n\r\nhi\r\n")
        assert answer.startswith("552 5.3.4")
        assert rig.accepted == []


async def test_mail_from_outside_is_not_touched(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        sent = b"Bcc: hidden@far.example\r\n\r\nhi\r\n"
        await client.deliver(sent)
        assert content(rig).endswith(b"+0000\r\n" + sent)


@pytest.mark.parametrize(
    ("parameter", "field", "wish"),
    [
        ("", "", TlsWish.NONE),
        (" REQUIRETLS", "", TlsWish.REQUIRETLS),
        (" REQUIRETLS", "TLS-Required: No\r\n", TlsWish.REQUIRETLS),
        ("", "TLS-Required: No\r\n", TlsWish.OPTIONAL),
        ("", "X-Postern-Encrypt: yes\r\n", TlsWish.ENCRYPT),
    ],
    ids=["nothing", "requiretls", "both", "tls-optional", "encrypt"],
)
async def test_what_a_user_asks_of_tls_is_kept_with_the_message(
    make: Make, trusting: ssl.SSLContext, parameter: str, field: str, wish: TlsWish
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        said = await client.say(f"MAIL FROM:<wang@harbour.example>{parameter}")
        assert said.startswith("250")
        await client.say("RCPT TO:<friend@far.example>")
        await client.say("DATA")
        answer = await client.say(f"From: <wang@harbour.example>\r\n{field}\r\nhi\r\n.")
        assert answer.startswith("250")
        assert rig.accepted[-1].tls_wish is wish
        assert rig.accepted[-1].sender.requiretls is (parameter != "")
        assert field.encode() in content(rig), "the next hop reads it as well"


async def test_a_stranger_marks_no_mail_of_ours_as_to_be_encrypted(make: Make) -> None:
    async with make(listener(Kind.MX)) as rig:
        client = await rig.connect()
        await client.hello()
        sent = b"X-Postern-Encrypt: yes\r\nFrom: <a@far.example>\r\n\r\nhi\r\n"
        assert (await client.deliver(sent, "a@far.example", "sales@harbour.example")).startswith(
            "250"
        )
        assert rig.accepted[-1].tls_wish is TlsWish.NONE
