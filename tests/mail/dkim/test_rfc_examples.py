"""The examples that the standards print, octet for octet."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.mail.dkim.stand import Zone, body_of, hashed, verified

from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields, emptied_field
from postern.mail.dkim.private import PrivateKey
from postern.mail.dkim.record import record_text
from postern.mail.dkim.result import Cause, DkimResult

BODY_HASH = b64decode("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=")

# RFC 6376 §A.2, with the two errata without which it does not verify: 4926 (six blanks of
# indentation) and 3192 (one blank behind "game.").
RFC6376 = b"""\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC6376_ZONE: Zone = {
    "brisbane._domainkey.example.com": (
        "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/"
        "zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH"
        "4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    )
}

# RFC 8463 §A.3.
RFC8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC8463_ZONE: Zone = {
    "brisbane._domainkey.football.example.com": (
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ),
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5q"
        "hdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4h"
        "stT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    ),
}
RFC8463_SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


@pytest.mark.parametrize("step", [0, 1, 3, 7])
def test_the_message_of_rfc_6376_verifies(step: int) -> None:
    (result,) = verified(RFC6376, RFC6376_ZONE, step=step).results
    assert (result.result, result.cause) == (DkimResult.PASS, Cause.VERIFIED)
    assert (result.domain, result.selector) == ("example.com", "brisbane")
    assert result.identity == "joe@football.example.com"
    assert (result.algorithm, result.key_bits) == ("rsa-sha256", 1024)


def test_as_printed_without_its_errata_it_does_not() -> None:
    printed = RFC6376.replace(b"game. Are", b"game.  Are")
    (result,) = verified(printed, RFC6376_ZONE).results
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.BODY_CHANGED)
    indented = RFC6376.replace(b"\r\n      by", b"\r\n by")
    (result,) = verified(indented, RFC6376_ZONE).results
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.SIGNATURE_WRONG)


@pytest.mark.parametrize("step", [0, 1, 3, 7])
def test_both_signatures_of_rfc_8463_verify(step: int) -> None:
    first, second = verified(RFC8463, RFC8463_ZONE, step=step).results
    assert (first.result, second.result) == (DkimResult.PASS, DkimResult.PASS)
    assert (first.algorithm, first.key_bits) == ("ed25519-sha256", 256)
    assert (second.algorithm, second.key_bits) == ("rsa-sha256", 1024)
    assert first.begins == "/gCrinpc"


def test_the_key_of_rfc_8463_makes_the_very_signature_it_prints() -> None:
    key = PrivateKey(
        "ed25519", 256, Ed25519PrivateKey.from_private_bytes(b64decode(RFC8463_SEED))
    )  # fmt: skip
    assert (record_text(key),) == RFC8463_ZONE["brisbane._domainkey.football.example.com"]
    opening, _, rest = RFC8463.partition(b" b=")
    fields = HeaderFields(RFC8463)
    names = b"from to subject date message-id from subject date".split()
    octets = b"".join(fields.canonical(place, Canon.RELAXED) for place in fields.select(names))
    octets += emptied_field(opening + b" b=", Canon.RELAXED)
    made = b64encode(key.sign(sha256(octets).digest()))
    assert made == b"".join(rest.partition(b"DKIM")[0].split())


def test_the_body_hash_is_the_one_that_both_print() -> None:
    for message, canon in ((RFC6376, Canon.SIMPLE), (RFC8463, Canon.RELAXED)):
        form = BodyForm(canon)
        assert hashed(body_of(message), {form}).of(form).digest == BODY_HASH
