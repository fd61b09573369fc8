"""TLS that a recipient's domain demands, over sockets: who is let off, who is not, what is said."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.delivery.chains import Made, make, pem, serving
from tests.delivery.jobs import job, settings
from tests.delivery.scripted import Act, Peer, Script, peer

from postern.delivery.opener import NotOpened, Opener, Place
from postern.delivery.smtp import SmtpDelivery
from postern.delivery.smtp_connection import SmtpConnection
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome
from postern.mail.route import Egress, SmtpRoute, Target, TlsDemand, TlsPolicy
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.tlsrpt import TlsResult
from postern.runtime.clock import SystemClock

HOST = "peer.test"
ROOT = make("root", ca=True)
LEAF = make(HOST, ROOT, names=(HOST,), ca=False)
STRANGER = make("stranger", ca=True)
OLD = make(HOST, ROOT, names=(HOST,), days=(-9, -2))
OTHER = make("other.test", ROOT, names=("other.test",))
IN_CLEAR = ["EHLO", "STARTTLS"]
"""All that is said in clear, but for QUIT, where TLS is demanded."""
STS = TlsDemand(TlsPolicy.VERIFY, source="mta-sts")


def dane(*records: Made, usage: int = 3, names: tuple[str, ...] = (HOST,)) -> TlsDemand:
    tlsa = tuple(record.tlsa(usage) for record in records)
    return TlsDemand(TlsPolicy.DANE, names, tlsa, "dane")


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(pem(STRANGER, ROOT))
    return path


async def send(
    server: Peer, demand: TlsDemand, ca_file: Path | None = None, **changes: object
) -> Outcome:
    smtp = SmtpDelivery(settings(ca_file=ca_file, **changes), SystemClock())
    target = Target(HOST, server.host, server.port, demand)
    route = SmtpRoute("peer.test", Egress("direct"), (target,))
    try:
        return (await smtp.deliver(route.ways, job())).outcomes[0]
    finally:
        await smtp.close(2)


async def waits(
    context: ssl.SSLContext | None, demand: TlsDemand, ca_file: Path | None = None
) -> Deferred:
    """The deferral, once it is sure that not a word of the mail was said in clear."""
    async with peer(Script(tls=context)) as server:
        outcome = await send(server, demand, ca_file)
    assert isinstance(outcome, Deferred), outcome
    assert [verb for verb in server.verbs() if verb != "QUIT"] == IN_CLEAR[: 2 if context else 1]
    assert server.connections == 1
    assert outcome.cause is (Cause.TLS if context else Cause.UNENCRYPTED)
    assert outcome.reply.enhanced == ("4.7.5" if context else "4.7.10")
    return outcome


@dataclass
class Seen:
    """What the server saw in the handshake."""

    server_name: str | None = None


def watched(context: ssl.SSLContext) -> Seen:
    seen = Seen()

    def note(_sock: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        seen.server_name = name

    context.sni_callback = note
    return seen


# --- DANE ----------------------------------------


@pytest.mark.parametrize("leaf", [LEAF, OLD, OTHER], ids=["right", "expired", "other name"])
async def test_dane_takes_the_key_of_its_record_whatever_the_certificate_says(leaf: Made) -> None:
    async with peer(Script(tls=serving(leaf))) as server:
        outcome = await send(server, dane(leaf))
    assert isinstance(outcome, Delivered)
    assert server.is_secure


async def test_dane_names_the_host_its_records_were_found_at_in_the_handshake() -> None:
    context = serving(LEAF)
    seen = watched(context)
    async with peer(Script(tls=context)) as server:
        outcome = await send(server, dane(LEAF, names=("base.test", "tea.test")))
    assert isinstance(outcome, Delivered)
    assert seen.server_name == "base.test"


async def test_dane_sends_nothing_to_another_key() -> None:
    outcome = await waits(serving(LEAF), dane(STRANGER))
    assert "TLSA" in outcome.reply.text
    assert "DANE" in outcome.reply.text
    assert outcome.whose is Whose.RECIPIENT


async def test_dane_takes_a_chain_to_the_authority_of_its_record() -> None:
    async with peer(Script(tls=serving(LEAF, ROOT))) as server:
        outcome = await send(server, dane(ROOT, usage=2))
    assert isinstance(outcome, Delivered)


@pytest.mark.parametrize(
    ("chain", "words"),
    [((OLD, ROOT), "out of date"), ((OTHER, ROOT), "other.test"), ((LEAF,), "none of its TLSA")],
    ids=["expired", "other name", "authority not shown"],
)
async def test_dane_sends_nothing_where_the_chain_is_not_right(
    chain: tuple[Made, ...], words: str
) -> None:
    outcome = await waits(serving(*chain), dane(ROOT, usage=2))
    assert words in outcome.reply.text


async def test_dane_sends_nothing_where_tls_is_not_offered() -> None:
    outcome = await waits(None, dane(LEAF))
    assert "STARTTLS" in outcome.reply.text
    assert "DANE" in outcome.reply.text


async def test_dane_takes_no_cipher_without_authenticated_encryption() -> None:
    context = serving(LEAF)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    await waits(context, dane(LEAF))
    async with peer(Script(tls=context)) as server:
        assert isinstance(await send(server, TlsDemand()), Delivered)
    assert server.is_secure


async def test_a_stalled_starttls_waits_and_says_who_demands_tls() -> None:
    script = Script(tls=serving(LEAF), after_starttls=Act.SILENCE)
    async with peer(script) as server:
        outcome = await send(server, dane(LEAF), tls_timeout_s=0.3)
    assert isinstance(outcome, Deferred)
    assert "DANE" in outcome.reply.text
    assert server.verbs() == IN_CLEAR
    assert server.messages == []


async def test_a_session_whose_time_is_over_in_the_handshake_says_so() -> None:
    script = Script(tls=serving(LEAF), after_starttls=Act.SILENCE)
    async with peer(script) as server:
        outcome = await send(server, dane(LEAF), session_budget_s=0.3)
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.TLS
    assert "did not finish the TLS handshake in 0 s" in outcome.reply.text
    assert "DANE" in outcome.reply.text
    assert server.messages == []


async def test_connections_are_shared_by_those_who_demand_the_same_alone() -> None:
    smtp = SmtpDelivery(settings(), SystemClock())
    async with peer(Script(tls=serving(LEAF))) as server:
        for demand, connections in [(dane(LEAF), 1), (dane(LEAF), 1), (TlsDemand(), 2)]:
            target = Target(HOST, server.host, server.port, demand)
            result = await smtp.deliver(SmtpRoute("g", Egress("direct"), (target,)).ways, job())
            assert isinstance(result.outcomes[0], Delivered)
            assert server.connections == connections
        await smtp.close(2)


# --- MTA-STS ----------------------------------------


async def test_a_policy_that_is_enforced_takes_a_certificate_for_the_host(
    authorities: Path,
) -> None:
    async with peer(Script(tls=serving(LEAF, ROOT))) as server:
        assert isinstance(await send(server, STS, authorities), Delivered)


@pytest.mark.parametrize("leaf", [OLD, OTHER, make(HOST, names=(HOST,))])
async def test_a_policy_that_is_enforced_sends_nothing_to_another_certificate(
    leaf: Made, authorities: Path
) -> None:
    outcome = await waits(serving(leaf, ROOT), STS, authorities)
    assert "MTA-STS" in outcome.reply.text
    assert outcome.whose is Whose.RECIPIENT


async def test_a_peer_that_refuses_starttls_keeps_its_own_words(authorities: Path) -> None:
    script = Script(tls=serving(LEAF), answers={"STARTTLS": "454 4.7.0 no TLS today"})
    async with peer(script) as server:
        outcome = await send(server, STS, authorities)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.text == "no TLS today"
    assert server.messages == []


async def test_one_of_several_names_is_enough(authorities: Path) -> None:
    demand = TlsDemand(TlsPolicy.VERIFY, (HOST, "other.test"), source="domain")
    async with peer(Script(tls=serving(OTHER, ROOT))) as server:
        assert isinstance(await send(server, demand, authorities), Delivered)
    third = make("third.test", ROOT, names=("third.test",))
    await waits(serving(third, ROOT), demand, authorities)


# --- what reports call it ----------------------------------------


async def opened(
    server: Peer, demand: TlsDemand, ca_file: Path | None
) -> tuple[SmtpConnection, NotOpened | None]:
    opener = Opener(settings(ca_file=ca_file, tls_timeout_s=0.3), SystemClock())
    connection = opener.begin(ClientConfig("us.test", HOST, demand.policy))
    place = Place(HOST, server.host, server.port)
    failed = await opener.open(connection, place, demand)
    connection.abort()
    return connection, failed


ANY = TlsDemand()
TESTING = TlsDemand(names=(HOST,), source="mta-sts-testing")
SELF_SIGNED = make(HOST, names=(HOST,))


@pytest.mark.parametrize(
    ("chain", "demand", "result"),
    [
        ((LEAF,), dane(STRANGER), "tlsa-invalid"),
        ((OLD, ROOT), dane(ROOT, usage=2), "certificate-expired"),
        ((OTHER, ROOT), dane(ROOT, usage=2), "certificate-host-mismatch"),
        ((), dane(LEAF), "starttls-not-supported"),
        ((OLD, ROOT), STS, "certificate-expired"),
        ((OTHER, ROOT), STS, "certificate-host-mismatch"),
        ((SELF_SIGNED,), STS, "certificate-not-trusted"),
    ],
)
async def test_a_session_that_failed_has_the_report_s_word(
    chain: tuple[Made, ...], demand: TlsDemand, result: str, authorities: Path
) -> None:
    async with peer(Script(tls=serving(*chain) if chain else None)) as server:
        _, failed = await opened(server, demand, authorities)
    assert failed is not None
    assert failed.tls_result is TlsResult(result)


@pytest.mark.parametrize(
    ("chain", "demand", "result"),
    [
        ((SELF_SIGNED,), ANY, None),
        ((), ANY, "starttls-not-supported"),
        ((), TESTING, "starttls-not-supported"),
        ((LEAF, ROOT), TESTING, None),
        ((OLD, ROOT), TESTING, "certificate-expired"),
        ((OTHER, ROOT), TESTING, "certificate-host-mismatch"),
        ((SELF_SIGNED,), TESTING, "certificate-not-trusted"),
        ((LEAF,), TlsDemand(fault="sts-policy-fetch-error"), "sts-policy-fetch-error"),
        ((LEAF,), TlsDemand(TlsPolicy.ENCRYPT, fault="tlsa-invalid"), "tlsa-invalid"),
        ((LEAF, ROOT), dane(LEAF), None),
        ((LEAF, ROOT), STS, None),
    ],
)
async def test_a_session_that_came_about_has_it_too(
    chain: tuple[Made, ...], demand: TlsDemand, result: str | None, authorities: Path
) -> None:
    async with peer(Script(tls=serving(*chain) if chain else None)) as server:
        connection, failed = await opened(server, demand, authorities)
    assert failed is None
    assert connection.tls_result is (None if result is None else TlsResult(result))


@pytest.mark.parametrize("act", [Act.SILENCE, Act.CLOSE, Act.RESET])
async def test_a_handshake_that_comes_to_nothing_is_a_failure_of_a_general_kind(act: Act) -> None:
    async with peer(Script(tls=serving(LEAF), after_starttls=act)) as server:
        _, failed = await opened(server, dane(LEAF), None)
    assert failed is not None
    assert failed.tls_result is TlsResult.VALIDATION_FAILURE


async def test_what_has_nothing_to_do_with_tls_has_no_word() -> None:
    async with peer(Script(greeting="554 go away")) as server:
        _, failed = await opened(server, dane(LEAF), None)
    assert failed is not None
    assert failed.tls_result is None
