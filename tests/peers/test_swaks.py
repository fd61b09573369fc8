"""A swaks transcript becomes values."""

from tests.peers.swaks import Exchange, parse

TRANSCRIPT = """\
=== Trying 127.0.0.1:2525...
=== Connected to 127.0.0.1.
<-  220 mx.test ESMTP
 -> EHLO client.test
<-  250-mx.test
<-  250 STARTTLS
 -> STARTTLS
<-  220 2.0.0 Ready
 -> VRFY x
<** 502 5.5.1 No
=== TLS started with cipher TLSv1.3:TLS_AES_256_GCM_SHA384:256
 ~> MAIL FROM:<li@a.test>
<~  250 2.1.0 Ok
 ~> RCPT TO:<gone@b.test>
<~* 550 5.1.1 No such mailbox PT-7Q2M-K4XD
 ~> QUIT
<~  221 2.0.0 Bye
=== Connection closed with remote host.
"""


def test_lines_keep_their_side_under_tls_and_when_unexpected() -> None:
    lines = parse(TRANSCRIPT)
    assert lines[0] == ("S", "220 mx.test ESMTP")
    assert ("S", "550 5.1.1 No such mailbox PT-7Q2M-K4XD") in lines
    assert ("C", "RCPT TO:<gone@b.test>") in lines
    assert ("S", "502 5.5.1 No") in lines
    assert not any("TLS started" in text for _, text in lines)


def test_reply_is_found_by_its_command() -> None:
    exchange = Exchange(24, tuple(parse(TRANSCRIPT)), TRANSCRIPT)
    assert exchange.refused_at == "rcpt"
    assert exchange.reply_to("RCPT") == "550 5.1.1 No such mailbox PT-7Q2M-K4XD"
    assert exchange.reply_to("EHLO") == "250 STARTTLS"
    assert exchange.replies("221") == ["221 2.0.0 Bye"]
