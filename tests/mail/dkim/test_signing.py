"""A message signed while it goes by is signed as it would be at once."""

import pytest
from tests.mail.dkim.stand import MESSAGE, NOW, ed25519_key, rsa_key, verified, zone_of

from postern.mail.dkim.result import DkimResult
from postern.mail.dkim.sign import Signer
from postern.mail.dkim.signing import Signing
from postern.mail.message.summary import summarise

SIGNERS = (
    Signer("tea.example", "p2026a", rsa_key()),
    Signer("tea.example", "p2026b", ed25519_key()),
)
END = summarise(MESSAGE).header_end


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_signature_does_not_depend_on_how_the_body_is_cut(step: int) -> None:
    whole = Signing(SIGNERS, MESSAGE, END).finish(NOW)
    cut = Signing(SIGNERS, MESSAGE[: END + 3], END)
    rest = MESSAGE[END + 3 :]
    for start in range(0, len(rest), step):
        cut.feed(rest[start : start + step])
    assert cut.finish(NOW) == whole
    assert whole.count(b"DKIM-Signature:") == 2


def test_every_key_signs_and_each_signature_verifies() -> None:
    signed = Signing(SIGNERS, MESSAGE, END).finish(NOW) + MESSAGE
    report = verified(signed, zone_of(*SIGNERS))
    assert [one.result for one in report.results] == [DkimResult.PASS] * 2
