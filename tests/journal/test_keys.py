"""Keys: what one writes and another asks must meet."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.journal import keys
from postern.journal.match import matches
from postern.journal.query import parse_query
from postern.journal.record import AttemptRecord, Conversation, RecipientRecord
from postern.journal.store.index import entry_tail, exactly, starting_with
from postern.journal.store.ranges import ranges_of

Make = Callable[..., Conversation]


def holds(question: str, key: bytes) -> bool:
    entry = key + entry_tail(7)
    (clue,) = parse_query(question).clues
    return any(r.low <= entry < r.high for r in ranges_of(clue))


def test_address_is_found_whatever_its_case() -> None:
    assert keys.address_key("Li@Tea-Trading.EXAMPLE") == keys.address_key("li@tea-trading.example")
    assert keys.address_key("li@tea-trading.example") == b"aexample.tea-trading@li"


def test_domain_holds_its_addresses_and_those_below_but_not_its_neighbours() -> None:
    assert holds("tea.example", keys.address_key("li@tea.example"))
    assert holds("@tea.example", keys.address_key("li@shop.tea.example"))
    assert holds("tea.example", keys.host_key("h", "mail.tea.example"))
    assert holds("tea.example", keys.host_key("x", "tea.example"))
    assert not holds("tea.example", keys.address_key("li@tea-trading.example"))
    assert not holds("tea.example", keys.address_key("li@green-tea.example"))
    assert not holds("tea.example", keys.host_key("h", "tea-trading.example"))


def test_domain_with_ideographs_is_the_same_as_its_a_labels() -> None:
    assert keys.address_key("li@茶.example") == keys.address_key("li@xn--cl1a.example")


def test_one_address_is_not_the_beginning_of_another() -> None:
    assert not holds("li@tea.example", keys.address_key("lin@tea.example"))


@pytest.mark.parametrize(
    ("network", "address", "is_in"),
    [
        ("198.51.100.24", "198.51.100.24", True),
        ("198.51.100.24", "198.51.100.25", False),
        ("198.51.100.0/24", "198.51.100.255", True),
        ("198.51.100.0/24", "198.51.101.0", False),
        ("198.51.100.16/28", "198.51.100.31", True),
        ("198.51.100.16/28", "198.51.100.32", False),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::", False),
        ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
    ],
)
def test_network_is_one_range_of_clients(network: str, address: str, *, is_in: bool) -> None:
    assert holds(network, b"i" + keys.ip_bytes(address)) is is_in
    assert holds(network, b"p" + keys.ip_bytes(address)) is is_in


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "unix:x", "1.2.3.4.5", "\0", "::g"])
def test_what_is_no_address_has_no_bytes(text: str) -> None:
    assert keys.ip_bytes(text) == b""


def test_ip_bytes_can_be_read_back() -> None:
    for address in ("198.51.100.24", "2001:db8::1"):
        assert keys.ip_text(keys.ip_bytes(address)) == address


def test_words_are_folded_and_single_letters_left_out() -> None:
    assert keys.words("Re: Offer A 2026-118, STRASSE") == ["re", "offer", "2026", "118", "strasse"]
    assert keys.words("Straße é naïve") == ["strasse", "naïve"]


def test_ideographs_are_pairs() -> None:
    assert keys.words("报价单 Offer") == ["报价", "价单", "offer"]
    assert keys.words("单") == ["单"]
    assert keys.words("Q3报价x报") == ["q3", "报价", "报"]


def test_words_are_bounded() -> None:
    subject = " ".join(f"word{n}" for n in range(5000)) + " " + "x" * 5000
    assert len(keys.subject_keys(subject)) == keys.MAX_WORDS
    assert max(map(len, keys.words("y" * 5000))) == keys.MAX_WORD_CHARS


def test_every_part_of_a_conversation_becomes_a_key(make: Make) -> None:
    c = make(
        from_header="boss@tea.example",
        related=[5],
        recipients=[
            RecipientRecord("all@h.example", "delivered", final="a@h.example, b@i.example")
        ],
        attempts=[AttemptRecord(1.0, "direct", "mx1.i.example", "192.0.2.80", "", 1, "", "")],
    )
    found = keys.keys_of(c)
    assert {
        keys.address_key("li@tea-trading.example"),
        keys.address_key("boss@tea.example"),
        keys.address_key("all@h.example"),
        keys.address_key("a@h.example"),
        keys.address_key("b@i.example"),
        keys.message_id_key("1@tea-trading.example"),
        keys.host_key("h", "mail.isp.example"),
        keys.host_key("x", "mx1.i.example"),
        b"i" + keys.ip_bytes("198.51.100.24"),
        b"p" + keys.ip_bytes("192.0.2.80"),
        keys.related_key(5),
        b"wgreen",
    } <= found


@given(st.text(max_size=400))
def test_no_text_makes_a_key_that_cannot_be_stored(text: str) -> None:
    c = Conversation(
        id=1, at=0.0, client_ip=text, helo=text, mail_from=text, from_header=text,
        message_id=text, subject=text, recipients=[RecipientRecord(text, "x", final=text)],
    )  # fmt: skip
    for key in keys.keys_of(c):
        assert 0 < len(key) <= keys.MAX_KEY_BYTES
        assert exactly(key).low < exactly(key).high
        if key[:1] in b"ahwx":
            assert starting_with(key).low <= key + entry_tail(1) < starting_with(key).high


@pytest.mark.parametrize(
    "fields",
    [
        {"account": "li@tea.example"},
        {"account": "li@tea.example", "mail_from": "offers@tea.example"},
        {"mail_from": "li+x@tea.example"},
        {"from_header": "Li+X@tea.example"},
        {"recipients": [RecipientRecord("li+x+y@tea.example", "delivered")]},
        {"recipients": [RecipientRecord("all@tea.example", "delivered", final="li+x@tea.example")]},
    ],
)
def test_mail_is_found_by_its_account_and_by_its_addresses_without_the_tag(
    make: Make, fields: dict[str, object]
) -> None:
    plain = {"mail_from": "", "from_header": "", "recipients": []}
    conversation = make(1, **(plain | fields))
    assert keys.address_key("li@tea.example") in keys.keys_of(conversation)
    assert matches(parse_query("li@tea.example"), conversation)


def test_an_address_that_is_all_tag_has_no_other_name(make: Make) -> None:
    assert keys.with_untagged(["+x@tea.example"]) == ["+x@tea.example"]
