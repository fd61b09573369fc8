"""What ``openssl s_client`` says of our own TLS: versions, ciphers, and whose certificate."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern

pytestmark = pytest.mark.peers("openssl")

NAME = "mx.postern.test"


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PosternServer]:
    settings = PosternSettings(
        listeners=(Listening(), Listening("submission"), Listening("submissions")),
        certificate=authority.issue(NAME),
    )
    with postern(settings) as made:
        yield made


def s_client(server: PosternServer, authority: Authority, kind: str, *options: str) -> str:
    """Shake hands, say QUIT, and tell what openssl printed."""
    starttls = () if kind == "submissions" else ("-starttls", "smtp")
    done = subprocess.run(
        [
            "openssl", "s_client", "-connect", f"127.0.0.1:{server.port(kind)}", *starttls,
            "-servername", NAME, "-verify_hostname", NAME, "-CAfile", str(authority.ca),
            "-crlf", *options,
        ],
        input=b"QUIT\n",
        capture_output=True,
        timeout=30,
        check=False,
    )  # fmt: skip
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.mark.parametrize("kind", ["mx", "submission", "submissions"])
@pytest.mark.parametrize(("option", "version"), [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")])
def test_openssl_verifies_our_name_and_gets_an_authenticated_cipher(
    server: PosternServer, authority: Authority, kind: str, option: str, version: str
) -> None:
    said = s_client(server, authority, kind, option)
    assert "Verify return code: 0 (ok)" in said, said
    found = re.search(r"New, (\S+), Cipher is (\S+)", said)
    assert found is not None, said
    assert found[1] == version
    assert re.search(r"GCM|CHACHA20|CCM", found[2]), found[2]


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"),
    ],
    ids=["TLS 1.1", "CBC without forward secrecy"],
)
def test_openssl_gets_nothing_that_is_out_of_date_from_submission(
    server: PosternServer, authority: Authority, options: tuple[str, ...]
) -> None:
    said = s_client(server, authority, "submissions", *options)
    assert re.search(r"New, \(NONE\), Cipher is \(NONE\)", said), said
