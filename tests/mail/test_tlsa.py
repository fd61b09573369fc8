"""Which TLSA records can be used."""

from postern.mail.route import Tlsa
from postern.mail.tlsa import MAX_RECORDS, usable

A256, B256, A512 = "ab" * 32, "cd" * 32, "ef" * 64


def test_records_for_keys_and_certificates_are_read() -> None:
    assert usable([f"3 1 1 {A256}", f"2 0 2 {A512}", "3 0 0 3082"]) == (
        Tlsa(3, 0, 0, b"\x30\x82"),
        Tlsa(3, 1, 1, bytes.fromhex(A256)),
        Tlsa(2, 0, 2, bytes.fromhex(A512)),
    )


def test_what_smtp_cannot_use_is_left_out() -> None:
    unusable = [
        f"0 0 1 {A256}",  # public authorities
        f"1 1 1 {A256}",
        f"4 1 1 {A256}",
        f"3 2 1 {A256}",
        f"3 1 3 {A256}",
        "3 1 1 abcd",
        f"3 1 2 {A256}",
        "3 0 0 " + "00" * 20_000,
        "3 0 0",
        "x 0 0 00",
        "3 1 1 zz",
    ]
    assert usable(unusable) == ()


def test_the_weaker_digest_gives_way_where_the_same_is_there_with_a_stronger_one() -> None:
    found = usable([f"3 1 1 {A256}", f"3 1 2 {A512}", f"3 0 1 {A256}", f"2 1 1 {A256}", "3 1 0 00"])
    assert [(one.usage, one.selector, one.matching) for one in found] == [
        (3, 0, 1),
        (3, 1, 0),
        (3, 1, 2),
        (2, 1, 1),
    ]


def test_the_order_of_the_answer_makes_no_difference_nor_does_a_record_twice() -> None:
    assert usable([f"3 1 1 {A256}", f"3 1 1 {B256}"]) == usable(
        [f"3 1 1 {B256}", f"3 1 1 {A256}", f"3 1 1 {B256}"]
    )


def test_no_zone_can_publish_more_than_is_looked_at() -> None:
    assert len(usable(f"3 1 1 {number:064x}" for number in range(100))) == MAX_RECORDS
