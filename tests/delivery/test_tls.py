"""Contexts towards other servers, tried on OpenSSL's own server with what old ones speak."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.peers.process import answers, free_port, wait_until

from postern.delivery.tls import TlsContexts
from postern.mail.route import TlsDemand, TlsPolicy
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
