"""What certificates a server may show where TLSA records say who it is."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.chains import NOW, OF_CLIENTS, Made, make

from postern.delivery.certificates import Distrust, public_key_der
from postern.delivery.dane import dane_flaw
from postern.mail.route import Tlsa
from postern.mail.tlsrpt import TlsResult

HOST, DOMAIN = "mx.tea.example", "tea.example"
ROOT = make("root", ca=True)
MIDDLE = make("middle", ROOT, ca=True, path_length=0)
LEAF = make(HOST, MIDDLE, names=(HOST,), ca=False)
CHAIN = (LEAF, MIDDLE, ROOT)
STRANGER = make("stranger", ca=True)
LONG_AGO, NOWADAYS = (-9, -2), (-1, 7)


def flaw(
    chain: Sequence[Made], *records: Tlsa, names: tuple[str, ...] = (HOST, DOMAIN)
) -> Distrust | None:
    return dane_flaw([one.der for one in chain], records, names, NOW)


def result(chain: Sequence[Made], *records: Tlsa) -> TlsResult | None:
    found = flaw(chain, *records)
    return None if found is None else found.result


# --- DANE-EE ----------------------------------------


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_the_server_s_own_certificate_or_key_is_enough(selector: int, matching: int) -> None:
    assert flaw([LEAF], LEAF.tlsa(3, selector, matching)) is None
    assert result([LEAF], STRANGER.tlsa(3, selector, matching)) is TlsResult.TLSA_INVALID


def test_names_dates_and_issuers_of_it_do_not_matter() -> None:
    old = make("elsewhere.example", days=LONG_AGO)
    assert flaw([old], old.tlsa(3)) is None


def test_one_record_of_several_is_enough_while_keys_are_changed() -> None:
    assert flaw([LEAF], STRANGER.tlsa(3), LEAF.tlsa(3)) is None


def test_a_record_for_a_server_s_key_is_not_for_its_authority_s() -> None:
    assert result(CHAIN, ROOT.tlsa(3)) is TlsResult.TLSA_INVALID
    assert result(CHAIN, MIDDLE.tlsa(3)) is TlsResult.TLSA_INVALID


def test_a_key_of_any_kind_is_held_against_its_record_as_it_stands() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_der(certificate) == spki


def test_what_is_no_certificate_breaks_nothing() -> None:
    for cut in range(0, len(LEAF.der), 7):
        try:
            found = public_key_der(LEAF.der[:cut])
        except ValueError:
            continue
        assert found != LEAF.spki
    assert dane_flaw([], [LEAF.tlsa(3)], (HOST,), NOW) is not None
    assert dane_flaw([b"\x30\x80\x01"], [LEAF.tlsa(3)], (HOST,), NOW) is not None
    assert dane_flaw([b"\x30\x03\x02\x01\x05"], [ROOT.tlsa(2)], (HOST,), NOW) is not None


# --- DANE-TA ----------------------------------------


@pytest.mark.parametrize("anchor", [ROOT, MIDDLE], ids=["root", "middle"])
@pytest.mark.parametrize("selector", [0, 1])
def test_an_authority_that_the_chain_leads_to_is_enough(anchor: Made, selector: int) -> None:
    assert flaw(CHAIN, anchor.tlsa(2, selector)) is None


def test_the_order_that_a_server_shows_its_chain_in_makes_no_difference() -> None:
    assert flaw((LEAF, ROOT, STRANGER, MIDDLE), ROOT.tlsa(2)) is None


def test_an_authority_that_is_only_shown_but_signed_nothing_is_not_enough() -> None:
    assert result((*CHAIN, STRANGER), STRANGER.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED
    own = make(HOST, names=(HOST,), ca=False)
    assert result((own, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_an_authority_that_is_not_shown_counts_where_the_record_holds_all_of_it() -> None:
    assert result((LEAF, MIDDLE), ROOT.tlsa(2)) is TlsResult.TLSA_INVALID
    assert flaw((LEAF, MIDDLE), ROOT.tlsa(2, 0, 0)) is None
    assert flaw((LEAF, MIDDLE), ROOT.tlsa(2, 1, 0)) is None
    assert result((LEAF, MIDDLE), STRANGER.tlsa(2, 1, 0)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_somebody_else_of_the_authority_s_name_is_not_it() -> None:
    namesake = make("root", ca=True)
    leaf = make(HOST, namesake, names=(HOST,), ca=False)
    assert result((leaf, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


@pytest.mark.parametrize("names", [(HOST,), (DOMAIN,), ("*.tea.example",), ("x.example", HOST)])
def test_below_an_authority_the_name_is_the_host_s_or_the_domain_s(names: tuple[str, ...]) -> None:
    leaf = make("whatever", ROOT, names=names, ca=False)
    assert flaw((leaf, ROOT), ROOT.tlsa(2)) is None


@pytest.mark.parametrize(
    "names", [("other.example",), ("*.mx.tea.example",), ("*.example",), ("mx*.tea.example",)]
)
def test_below_an_authority_another_name_is_a_mismatch(names: tuple[str, ...]) -> None:
    leaf = make(HOST, ROOT, names=names, ca=False)
    found = flaw((leaf, ROOT), ROOT.tlsa(2))
    assert found is not None
    assert found.result is TlsResult.CERTIFICATE_HOST_MISMATCH
    assert names[0] in found.words


def test_a_common_name_counts_where_there_is_no_other_name() -> None:
    assert flaw((make(HOST, ROOT), ROOT), ROOT.tlsa(2)) is None


@pytest.mark.parametrize("late", [0, 1, 2])
def test_below_an_authority_every_certificate_must_be_valid_now(late: int) -> None:
    dates = [LONG_AGO if number == late else NOWADAYS for number in range(3)]
    root = make("root", ca=True, days=dates[2])
    middle = make("middle", root, ca=True, days=dates[1])
    leaf = make(HOST, middle, names=(HOST,), days=dates[0])
    assert result((leaf, middle, root), root.tlsa(2)) is TlsResult.CERTIFICATE_EXPIRED


def test_who_is_no_authority_issues_nothing() -> None:
    end = make("end", ROOT, names=("end.example",), ca=False)
    silent = make("silent", ROOT)
    for issuer in (end, silent):
        leaf = make(HOST, issuer, names=(HOST,))
        assert result((leaf, issuer, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED
        assert result((leaf, issuer), issuer.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_an_authority_below_another_keeps_to_the_length_of_path_it_has() -> None:
    below = make("below", MIDDLE, ca=True)
    leaf = make(HOST, below, names=(HOST,))
    chain = (leaf, below, MIDDLE, ROOT)
    assert result(chain, ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_an_authority_that_may_not_sign_certificates_issues_nothing() -> None:
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    issuer = make("issuer", ROOT, ca=True, more=((usage, True),))
    leaf = make(HOST, issuer, names=(HOST,))
    assert result((leaf, issuer, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_limits_that_are_not_understood_are_not_passed_over() -> None:
    limits = x509.NameConstraints([x509.DNSName("coffee.example")], None)
    issuer = make("issuer", ROOT, ca=True, more=((limits, True),))
    leaf = make(HOST, issuer, names=(HOST,))
    assert result((leaf, issuer, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_a_certificate_for_clients_is_not_a_server_s() -> None:
    leaf = make(HOST, ROOT, names=(HOST,), more=((OF_CLIENTS, False),))
    assert result((leaf, ROOT), ROOT.tlsa(2)) is TlsResult.CERTIFICATE_NOT_TRUSTED
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = make(HOST, ROOT, names=(HOST,), more=((both, False),))
    assert flaw((leaf, ROOT), ROOT.tlsa(2)) is None


def test_certificates_in_a_circle_come_to_an_end() -> None:
    one, two = make("one", ca=True), make("two", ca=True)
    a, b = make("one", two, ca=True), make("two", one, ca=True)
    leaf = make(HOST, one, names=(HOST,))
    assert result((leaf, a, b, one, two), ROOT.tlsa(2, 0, 0)) is TlsResult.CERTIFICATE_NOT_TRUSTED


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2_000), st.integers(0, 255)),
        min_size=1,
        max_size=3,
    )
)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_chain_with_octets_changed_breaks_nothing_and_is_right_with_its_own_leaf_alone(
    changes: list[tuple[int, int, int]],
) -> None:
    shown = [bytearray(one.der) for one in CHAIN]
    for which, at, octet in changes:
        shown[which][at % len(shown[which])] = octet
    records = [ROOT.tlsa(2, 0, 0), ROOT.tlsa(2, 1, 0), MIDDLE.tlsa(2)]
    if dane_flaw([bytes(one) for one in shown], records, (HOST,), NOW) is None:
        assert bytes(shown[0]) == LEAF.der
