"""Certificates made on the spot hold where they should and fail where they should."""

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from tests.peers.certificates import Authority, KeyPair, self_signed


def shake_hands(pair: KeyPair, trusted: Path, name: str) -> str:
    """The TLS version two ends agree on, or an ``ssl.SSLError``."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pair.cert, pair.key)
    client_context = ssl.create_default_context(cafile=str(trusted))
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            try:
                server_context.wrap_socket(theirs, server_side=True).close()
            except OSError:
                return  # the client turned us down: its own error is what the test looks at

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours, client_context.wrap_socket(ours, server_hostname=name) as client:
            return client.version() or ""
    finally:
        thread.join(10)


def test_issued_certificate_is_good_for_its_names(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("mx.test", "127.0.0.1")
    assert shake_hands(pair, authority.ca, "mx.test") == "TLSv1.3"
    assert shake_hands(pair, authority.ca, "127.0.0.1") == "TLSv1.3"


@pytest.mark.parametrize(
    ("name", "valid", "begins", "error"),
    [
        ("other.test", timedelta(days=1), timedelta(0), "Hostname mismatch"),
        ("mx.test", timedelta(days=-1), timedelta(0), "expired"),
        ("mx.test", timedelta(days=1), timedelta(days=2), "not yet valid"),
    ],
)
def test_wrong_name_and_wrong_time_are_noticed(
    tmp_path: Path, name: str, valid: timedelta, begins: timedelta, error: str
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("mx.test", valid=valid, begins=begins)
    with pytest.raises(ssl.SSLCertVerificationError, match=error):
        shake_hands(pair, authority.ca, name)


def test_self_signed_certificate_is_trusted_by_nobody_else(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "mx.test")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        shake_hands(pair, Authority(tmp_path).ca, "mx.test")
