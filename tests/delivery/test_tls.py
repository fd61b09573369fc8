"""Contexts towards other servers, tried on OpenSSL's own server with what old ones speak."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.delivery.chains import make, pem, serving
from tests.delivery.jobs import job, settings
from tests.delivery.scripted import Script, peer
from tests.peers.process import answers, free_port, wait_until

from postern.delivery.roots import Roots
from postern.delivery.smtp import SmtpDelivery
from postern.delivery.tls import Handshake, TlsContexts
from postern.mail.outcome import Deferred, Delivered, Outcome
from postern.mail.route import ANY_TLS, Egress, Target, TlsDemand, TlsPolicy, Way
from postern.runtime.clock import SystemClock

OLD = {
    "CBC": ("ECDHE-RSA-AES256-SHA384", "-tls1_2"),
    "CBC with SHA-1": ("ECDHE-RSA-AES128-SHA", "-tls1_2"),
    "key exchange by RSA": ("AES128-GCM-SHA256", "-tls1_2"),
    "both": ("AES256-SHA", "-tls1_2"),
}
NEW = {
    "AEAD of TLS 1.2": ("ECDHE-RSA-AES128-GCM-SHA256", "-tls1_2"),
    "TLS 1.3": ("", "-tls1_3"),
}
BROKEN = {"TLS 1.1": ("AES128-SHA:@SECLEVEL=0", "-tls1_1")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that signs itself, with an RSA key: key exchange by RSA needs one."""
    folder = tmp_path_factory.mktemp("rsa")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7",
         "-subj", "/CN=old.test", "-addext", "subjectAltName=DNS:old.test",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@contextmanager
def s_server(pair: tuple[Path, Path], cipher: str, version: str) -> Iterator[int]:
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", version,
               "-cert", str(pair[0]), "-key", str(pair[1])]  # fmt: skip
    if cipher:
        command += ["-cipher", cipher]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as server:
        try:
            wait_until(lambda: answers("127.0.0.1", port, b""), "openssl s_server")
            yield port
        finally:
            server.kill()


async def shake_hands(port: int, policy: TlsPolicy, ca: Path) -> str:
    """The cipher agreed on; empty where none was."""
    handshake = TlsContexts(SystemClock(), ca).handshake(TlsDemand(policy), "old.test")
    try:
        async with asyncio.timeout(20):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=handshake.context, server_hostname=handshake.server_name
            )
    except OSError:
        return ""
    cipher = writer.get_extra_info("cipher")[0]
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return str(cipher)


@pytest.mark.parametrize("kind", OLD)
async def test_old_encryption_is_better_than_none_and_not_enough_to_verify(
    pair: tuple[Path, Path], kind: str
) -> None:
    cipher, version = OLD[kind]
    with s_server(pair, cipher, version) as port:
        assert await shake_hands(port, TlsPolicy.OPPORTUNISTIC, pair[0]) == cipher
        for proving in (TlsPolicy.VERIFY, TlsPolicy.DANE):
            assert await shake_hands(port, proving, pair[0]) == ""


@pytest.mark.parametrize("kind", NEW)
async def test_modern_encryption_serves_both(pair: tuple[Path, Path], kind: str) -> None:
    cipher, version = NEW[kind]
    with s_server(pair, cipher, version) as port:
        for policy in set(TlsPolicy) - {TlsPolicy.NEVER}:
            assert await shake_hands(port, policy, pair[0])


@pytest.mark.parametrize("kind", BROKEN)
async def test_versions_that_are_broken_are_not_spoken(pair: tuple[Path, Path], kind: str) -> None:
    cipher, version = BROKEN[kind]
    with s_server(pair, cipher, version) as port:
        assert await shake_hands(port, TlsPolicy.OPPORTUNISTIC, pair[0]) == ""


ROOT = make("root", ca=True)
STS = TlsDemand(TlsPolicy.VERIFY, source="mta-sts")


def hello(handshake: Handshake) -> bytes:
    """The first octets it sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    line = handshake.context.wrap_bio(incoming, outgoing, server_hostname=handshake.server_name)
    with suppress(ssl.SSLWantReadError):
        line.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("host", "name"),
    [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1"), ("[what]", None)],
)
@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.VERIFY])
def test_an_address_literal_is_checked_and_never_sent_as_a_name(
    host: str, name: str | None, policy: TlsPolicy
) -> None:
    handshake = TlsContexts(SystemClock()).handshake(TlsDemand(policy), host)
    assert handshake.server_name == name
    if name is not None:
        assert host[1:8].encode() not in hello(handshake)
    assert b"mx.test" in hello(TlsContexts(SystemClock()).handshake(ANY_TLS, "mx.test"))


async def verified(server_names: tuple[str, ...], demand: TlsDemand, ca: Path) -> Outcome:
    """What comes of mail to a server whose certificate's common name is right, and its others."""
    context = serving(make("peer.test", ROOT, names=server_names, ca=False))
    async with peer(Script(tls=context)) as server:
        smtp = SmtpDelivery(settings(ca_file=ca), SystemClock())
        way = Way(Egress("direct"), Target("peer.test", server.host, server.port, demand))
        result = await smtp.deliver((way,), job())
        await smtp.close(1)
    return result.outcomes[0]


@pytest.mark.parametrize("names", [(), ("peer.test", "other.test")], ids=["host", "several"])
async def test_a_common_name_is_no_name_of_a_server(tmp_path: Path, names: tuple[str, ...]) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem(ROOT))
    demand = TlsDemand(TlsPolicy.VERIFY, names, source="mta-sts")
    assert isinstance(await verified((), demand, ca), Deferred)
    assert isinstance(await verified(("peer.test",), demand, ca), Delivered)


async def test_authorities_are_read_beside_the_loop_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem(ROOT))
    readers: list[str] = []
    usual = ssl.create_default_context

    def create(*args: object, **more: object) -> ssl.SSLContext:
        readers.append(threading.current_thread().name)
        return usual(*args, **more)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(ssl, "create_default_context", create)
    context = serving(make("peer.test", ROOT, names=("peer.test",), ca=False))
    async with peer(Script(tls=context)) as server:
        smtp = SmtpDelivery(settings(ca_file=ca, reuse_idle_s=0), SystemClock())
        way = Way(Egress("direct"), Target("peer.test", server.host, server.port, STS))
        for _ in range(2):
            result = await smtp.deliver((way,), job())
            assert isinstance(result.outcomes[0], Delivered)
        await smtp.close(1)
    assert len(readers) == 1
    assert threading.main_thread().name not in readers


def test_one_authority_that_cannot_be_read_does_not_take_the_others_with_it(
    tmp_path: Path,
) -> None:
    ca = tmp_path / "ca.pem"
    bad = b"-----BEGIN CERTIFICATE-----\nTm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
    worse = b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
    ca.write_bytes(b"# named\n" + bad + pem(ROOT) + worse)
    roots = Roots(ca)
    roots.read()
    assert [one.subject for one in roots.named(ROOT.certificate.subject)] == [
        ROOT.certificate.subject
    ]
