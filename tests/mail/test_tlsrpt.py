"""The words of reports about TLS."""

import pytest

from postern.mail.route import ANY_TLS, TlsDemand, TlsPolicy
from postern.mail.tlsrpt import PolicyType, TlsResult, policy_type, result_of_verification


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (10, "certificate-expired"),
        (9, "certificate-expired"),
        (62, "certificate-host-mismatch"),
        (64, "certificate-host-mismatch"),
        (18, "certificate-not-trusted"),
        (20, "certificate-not-trusted"),
    ],
)
def test_what_openssl_found_has_the_report_s_own_word(code: int, result: str) -> None:
    assert result_of_verification(code).value == result


def test_a_demand_tells_under_which_kind_of_policy_it_is_counted() -> None:
    assert policy_type(ANY_TLS) is PolicyType.NONE
    assert policy_type(TlsDemand(TlsPolicy.DANE)) is PolicyType.TLSA
    assert policy_type(TlsDemand(TlsPolicy.ENCRYPT, source="dane")) is PolicyType.TLSA
    assert policy_type(TlsDemand(TlsPolicy.VERIFY, source="mta-sts")) is PolicyType.STS
    assert policy_type(TlsDemand(source="mta-sts-testing")) is PolicyType.STS
    assert policy_type(TlsDemand(TlsPolicy.VERIFY, source="X3")) is PolicyType.NONE


def test_only_a_certificate_that_is_not_what_it_must_be_is_untrusted() -> None:
    untrusted = {result.value for result in TlsResult if result.is_untrusted}
    assert untrusted == {
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "tlsa-invalid",
    }
