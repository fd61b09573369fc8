import re

import pytest

from postern.mail.address import Address
from postern.mail.message.header import HeaderScan
from postern.mail.spf.header import received_spf
from postern.mail.spf.identity import helo_claim, mail_from_claim
from postern.mail.spf.result import SpfCode, SpfResult

# RFC 7208 §9.1, after unfolding: result, comment, pairs.
FIELD = re.compile(
    rb"Received-SPF: (?P<result>[a-z]+) \((?P<comment>(?:[^()\\]|\\.)*)\) "
    rb'(?P<pairs>(?:[a-z-]+=(?:[^\s";\\]+|"(?:[^"\\]|\\.)*"); ?)+)\r\n'
)


def written(
    result: SpfResult,
    sender: Address | None = None,
    helo: str = "client.test",
    ip: str = "192.0.2.1",
) -> str:
    claim = mail_from_claim(sender, helo)
    field = received_spf(result, claim, ip=ip, helo=helo, receiver="mx.postern.test")
    assert max(len(line) for line in field.split(b"\r\n")) < 998
    unfolded = field.replace(b"\r\n\t", b" ")
    assert FIELD.fullmatch(unfolded), field
    (only,) = HeaderScan(field + b"\r\n").fields()
    assert (only.name, only.end) == (b"received-spf", len(field))
    return unfolded.decode("ascii").removesuffix("\r\n")


def test_a_pass_names_who_where_and_why() -> None:
    result = SpfResult(SpfCode.PASS, "tea.example", "tea.example", "ip4:192.0.2.0/24")
    assert written(result, Address("ann", "tea.example")) == (
        "Received-SPF: pass (mx.postern.test: domain of ann@tea.example designates 192.0.2.1 as"
        " permitted sender) identity=mailfrom; client-ip=192.0.2.1; helo=client.test;"
        ' envelope-from="ann@tea.example"; mechanism="ip4:192.0.2.0/24";'
        " receiver=mx.postern.test;"
    )


def test_helo_has_no_envelope_sender_and_the_default_its_word() -> None:
    result = SpfResult(SpfCode.NEUTRAL, "client.test", "client.test")
    claim = helo_claim("client.test")
    field = received_spf(result, claim, ip="2001:db8::1", helo="client.test", receiver="mx.test")
    assert b"identity=helo;" in field
    assert b"envelope-from" not in field
    assert b"mechanism=default;" in field
    assert b'client-ip="2001:db8::1";' in field


@pytest.mark.parametrize("code", list(SpfCode))
def test_every_result_can_be_written(code: SpfCode) -> None:
    text = written(SpfResult(code, "tea.example", problem="what is wrong"))
    assert text.startswith(f"Received-SPF: {code.value} (")
    assert 'envelope-from="postmaster@client.test"' in text
    is_error = code in {SpfCode.NONE, SpfCode.TEMPERROR, SpfCode.PERMERROR}
    assert ('problem="what is wrong"' in text) is is_error


def test_nothing_the_client_says_breaks_out() -> None:
    result = SpfResult(SpfCode.PERMERROR, "x", problem='a")\r\nBcc: x\\')
    nasty = 'x")\r\n\tBcc: y (é\ud800' + "z" * 900
    text = written(result, Address('a"(\\)\r\nb', "tea.example"), nasty)
    assert text.count("\r") == text.count("\n") == 0
    assert "?" in text
