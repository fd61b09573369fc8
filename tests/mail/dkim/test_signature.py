import pytest

from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.result import Cause, DkimResult
from postern.mail.dkim.signature import read_signature
from postern.mail.dns import Question

HASH = "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
TAGS = {
    "v": "1", "a": "rsa-sha256", "d": "tea.example", "s": "jan", "h": "from:to",
    "bh": HASH, "b": "AAECAw==",
}  # fmt: skip


def value(**changed: str | None) -> bytes:
    tags = {**TAGS, **{name.removesuffix("_"): text for name, text in changed.items()}}
    return "; ".join(f"{name}={text}" for name, text in tags.items() if text is not None).encode()


def test_everything_a_signature_says() -> None:
    signature = read_signature(
        value(
            c="relaxed/simple",
            i="green=20tea@leaf.TEA.example",
            l="100",
            t="1",
            x="20",
            q="dns/txt",
            z="From:x",
            h="From : To:\r\n\tto",
            s="Jan.a_b",
            b="AAECAwQFBg ==",
        )
    )
    assert signature.flaw is None
    assert signature.algorithm == "rsa-sha256"
    assert signature.octets == bytes(range(7))
    assert signature.begins == "AAECAwQF"
    assert len(signature.body_hash) == 32
    assert (signature.header_canon, signature.form) == (
        Canon.RELAXED,
        BodyForm(Canon.SIMPLE, 100),
    )
    assert (signature.domain, signature.identity) == ("tea.example", "green=20tea@leaf.tea.example")
    assert signature.names == (b"from", b"to", b"to")
    assert (signature.signed_at, signature.expires_at) == (1, 20)
    assert signature.question == Question("jan.a_b._domainkey.tea.example", "TXT")


def test_what_it_leaves_out_has_the_values_of_the_standard() -> None:
    signature = read_signature(value())
    assert signature.flaw is None
    assert (signature.header_canon, signature.form) == (Canon.SIMPLE, BodyForm(Canon.SIMPLE))
    assert signature.identity == "@tea.example"
    assert (signature.signed_at, signature.expires_at) == (None, None)
    assert read_signature(value(c="relaxed")).form == BodyForm(Canon.SIMPLE)


def test_domains_beyond_ascii_become_a_labels() -> None:
    signature = read_signature(value(d="grün.example", s="straße", i="ü@tee.grün.example"))
    assert signature.flaw is None
    assert signature.question.name == "xn--strae-oqa._domainkey.xn--grn-ioa.example"
    assert signature.identity == "ü@tee.xn--grn-ioa.example"


@pytest.mark.parametrize("name", ["v", "a", "d", "s", "h", "bh", "b"])
def test_a_tag_that_must_be_there_is_missed(name: str) -> None:
    for signature, word in (
        (read_signature(value(**{name: None})), "has no"),
        (read_signature(value(**{name: ""})), "has an empty"),
    ):
        assert signature.flaw is not None
        assert signature.flaw.result is DkimResult.PERMERROR
        assert signature.flaw.text == f"the signature {word} {name}="


@pytest.mark.parametrize(
    ("changed", "cause", "text"),
    [
        ({"v": "2"}, Cause.VERSION, "is of an unknown version"),
        ({"v": "1.0"}, Cause.VERSION, "is of an unknown version"),
        ({"a": "rsa-sha1"}, Cause.ALGORITHM_RETIRED, "uses rsa-sha1"),
        ({"a": "rsa sha256"}, Cause.MALFORMED, "a= is not the name of an algorithm"),
        ({"b": "AA-A"}, Cause.MALFORMED, "b= is not base64"),
        ({"bh": "AAAA"}, Cause.MALFORMED, "bh= is not as long as a SHA-256 hash"),
        ({"bh": "?"}, Cause.MALFORMED, "bh= is not base64"),
        ({"d": "example"}, Cause.MALFORMED, "d= is not a domain"),
        ({"d": "-.example"}, Cause.MALFORMED, "d= is not a domain"),
        ({"d": "tea. example"}, Cause.MALFORMED, "d= is not a domain"),
        ({"s": "a..b"}, Cause.MALFORMED, "s= is not a selector"),
        ({"s": "a/b"}, Cause.MALFORMED, "s= is not a selector"),
        ({"s": "a" * 64}, Cause.MALFORMED, "too long for a name in DNS"),
        ({"s": ".".join(["a" * 60] * 4)}, Cause.MALFORMED, "too long for a name in DNS"),
        ({"h": "to:date"}, Cause.FROM_NOT_SIGNED, "does not cover the From field"),
        ({"h": ":"}, Cause.FROM_NOT_SIGNED, "does not cover the From field"),
        ({"h": "from:a b"}, Cause.MALFORMED, "h= is not a list of field names"),
        ({"l": ""}, Cause.MALFORMED, "l= is not a number"),
        ({"l": "-1"}, Cause.MALFORMED, "l= is not a number"),
        ({"l": "1" * 77}, Cause.MALFORMED, "l= is not a number"),
        ({"t": "1 2"}, Cause.MALFORMED, "t= is not a number"),
        ({"x": "x"}, Cause.MALFORMED, "x= is not a number"),
        ({"t": "9", "x": "9"}, Cause.MALFORMED, "expires before it was made"),
        ({"i": "tea.example"}, Cause.IDENTITY, "i= is not an identity"),
        ({"i": "a@"}, Cause.IDENTITY, "i= is not an identity"),
        ({"i": "a@other.example"}, Cause.IDENTITY, "i= is not within its d="),
        ({"i": "@steatea.example"}, Cause.IDENTITY, "i= is not within its d="),
    ],
)
def test_what_the_standard_forbids_is_a_permerror(
    changed: dict[str, str], cause: Cause, text: str
) -> None:
    flaw = read_signature(value(**changed)).flaw
    assert flaw is not None
    assert (flaw.result, flaw.cause) == (DkimResult.PERMERROR, cause)
    assert text in flaw.text


@pytest.mark.parametrize(
    "changed",
    [
        {"a": "dilithium-sha3"},
        {"a": "RSA-SHA256"},
        {"c": "nowsp/simple"},
        {"c": "relaxed/"},
        {"c": "relaxed/simple/simple"},
        {"c": ""},
        {"q": "http"},
    ],
)
def test_what_is_not_known_here_is_neutral(changed: dict[str, str]) -> None:
    flaw = read_signature(value(**changed)).flaw
    assert flaw is not None
    assert (flaw.result, flaw.cause) == (DkimResult.NEUTRAL, Cause.NOT_UNDERSTOOD)


def test_one_known_way_to_ask_for_the_key_is_enough() -> None:
    assert read_signature(value(q="http : DNS/txt")).flaw is None


def test_an_entry_of_h_that_names_nothing_is_passed_over() -> None:
    signature = read_signature(value(h="from::to:"))
    assert signature.flaw is None
    assert signature.names == (b"from", b"to")


def test_a_malformed_list_is_a_permerror_and_says_why() -> None:
    flaw = read_signature(value() + b"; v=1").flaw
    assert flaw is not None
    assert (flaw.result, flaw.cause) == (DkimResult.PERMERROR, Cause.MALFORMED)
    assert flaw.text == "the signature is malformed: the tag v= stands twice"


def test_what_could_be_read_of_a_flawed_signature_is_told() -> None:
    signature = read_signature(value(h=None, a="rsa-sha1"))
    assert (signature.domain, signature.selector, signature.algorithm) == (
        "tea.example", "jan", "rsa-sha1",
    )  # fmt: skip


def test_only_base64_is_shown_of_a_signature() -> None:
    assert read_signature(value(b='"<x>"')).begins == ""
    assert read_signature(value(b="ÄÖÜ")).begins == ""


def test_an_identity_cannot_break_out_of_a_line_of_text() -> None:
    signature = read_signature(value(i="a\u2028\u202e\x9bb" + "c" * 999 + "@tea.example"))
    assert signature.identity.startswith("a b")
    assert len(signature.identity) < 300


def test_times_count_with_some_patience() -> None:
    signature = read_signature(value(t="1000", x="2000"))
    for now, cause in (
        (939, Cause.FROM_THE_FUTURE), (940, None), (2060, None), (2061, Cause.EXPIRED),
    ):  # fmt: skip
        flaw = signature.timing_flaw(now, 60)
        assert (flaw and flaw.cause) == cause
        assert flaw is None or flaw.result is DkimResult.POLICY
