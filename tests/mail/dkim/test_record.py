from base64 import b64decode

from tests.mail.dkim.stand import ed25519_key, rsa_key

from postern.mail.dkim.key import KeyRecord, read_key_record
from postern.mail.dkim.record import (
    record_name,
    record_strings,
    record_text,
    revoked_text,
    zone_line,
    zone_value,
)


def test_a_record_can_be_read_again() -> None:
    for key in (rsa_key(), ed25519_key()):
        for testing in (False, True):
            read = read_key_record(record_text(key, testing=testing))
            assert isinstance(read, KeyRecord)
            assert read.key is not None
            assert (read.kind, read.key.bits, read.testing) == (key.kind, key.bits, testing)


def test_an_ed25519_record_holds_32_octets_and_an_rsa_record_a_public_key_info() -> None:
    assert len(b64decode(record_text(ed25519_key()).partition("p=")[2])) == 32
    assert record_text(rsa_key()).startswith("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")


def test_a_long_record_is_cut_into_strings_of_255_octets() -> None:
    text = record_text(rsa_key())
    strings = record_strings(text)
    assert [len(string) for string in strings] == [255, len(text) - 255]
    assert "".join(strings) == text
    assert zone_value(text) == f'"{strings[0]}" "{strings[1]}"'


def test_a_short_record_is_one_line_of_a_zone() -> None:
    assert record_name("jan", "tea.example") == "jan._domainkey.tea.example"
    text = record_text(ed25519_key())
    assert zone_line("jan", "tea.example", text) == f'jan._domainkey.tea.example. IN TXT "{text}"'


def test_a_revoked_key_has_an_empty_p() -> None:
    read = read_key_record(revoked_text("rsa"))
    assert isinstance(read, KeyRecord)
    assert read.key is None
