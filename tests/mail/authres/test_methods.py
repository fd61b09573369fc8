from postern.mail.authres import methods
from postern.mail.authres.build import field
from postern.mail.authres.results import AuthenticationResults, MethodResult


def line(result: MethodResult) -> bytes:
    written = field(AuthenticationResults("mx.host.example", (result,)))
    head = b"Authentication-Results: mx.host.example;\r\n\t"
    assert written.startswith(head)
    return written.removeprefix(head).removesuffix(b"\r\n").replace(b"\r\n\t", b" ")


def test_dkim() -> None:
    result = methods.dkim(
        "pass",
        domain="tea.example",
        identity="@news.tea.example",
        selector="s1",
        algorithm="rsa-sha256",
        signature="EToR+SuvUfQVP3Bkz",
        comment="2048 bits",
    )
    assert line(result) == (
        b"dkim=pass (2048 bits) header.d=tea.example header.i=@news.tea.example header.s=s1"
        b" header.a=rsa-sha256 header.b=EToR+Suv"
    )
    assert line(methods.dkim("none")) == b"dkim=none"
    assert line(methods.dkim("fail", domain="t.example", signature="a/b=cdefgh")) == (
        b'dkim=fail header.d=t.example header.b="a/b=cdef"'
    )


def test_spf() -> None:
    assert line(methods.spf("pass", mail_from="tea.example")) == (
        b"spf=pass smtp.mailfrom=tea.example"
    )
    assert line(methods.spf("softfail", helo="mx.tea.example", reason="~all")) == (
        b"spf=softfail reason=~all smtp.helo=mx.tea.example"
    )


def test_dmarc() -> None:
    assert line(methods.dmarc("fail", header_from="tea.example", policy="quarantine")) == (
        b"dmarc=fail header.from=tea.example policy.dmarc=quarantine"
    )


def test_arc() -> None:
    assert line(methods.arc("pass", remote_ip="192.0.2.1", oldest_pass="1")) == (
        b"arc=pass smtp.remote-ip=192.0.2.1 header.oldest-pass=1"
    )


def test_iprev() -> None:
    assert line(methods.iprev("pass", "192.0.2.1")) == b"iprev=pass policy.iprev=192.0.2.1"
    # A colon is no token character (RFC 2045 §5.1), so IPv6 is quoted.
    assert line(methods.iprev("fail", "2001:db8::1")) == b'iprev=fail policy.iprev="2001:db8::1"'


# The example of RFC 8601 §2.7.4.
def test_auth() -> None:
    assert line(methods.auth("pass", identity="client@c.example", mail_from="bob@b.example")) == (
        b"auth=pass smtp.auth=client@c.example smtp.mailfrom=bob@b.example"
    )
