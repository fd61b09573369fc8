import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mail.dmarc import by_the_letter
from tests.mail.dmarc.zone import Zone

from postern.mail.dmarc.tree import Organisation, Tree
from postern.mail.dns import Status

RECORD = "v=DMARC1; p=reject"


def organisation(zone: Zone, domain: str) -> Organisation:
    return zone.run(Tree().walk(domain))


# RFC 9989 §4.10.2, its three examples.
def test_the_shortest_name_with_a_record_is_the_organisation() -> None:
    zone = Zone(mail_example_com=RECORD, example_com=RECORD)
    assert organisation(zone, "a.mail.example.com").domain == "example.com"
    assert zone.rounds == [
        [
            "_dmarc.a.mail.example.com",
            "_dmarc.mail.example.com",
            "_dmarc.example.com",
            "_dmarc.com",
        ]
    ]


def test_psd_n_makes_its_own_domain_the_organisation() -> None:
    zone = Zone(mail_example_com=RECORD + "; psd=n", example_com=RECORD)
    assert organisation(zone, "a.mail.example.com").domain == "mail.example.com"


def test_psd_y_makes_the_domain_below_the_organisation() -> None:
    found = organisation(Zone(com=RECORD + "; psd=y"), "a.mail.example.com")
    assert found.domain == "example.com"
    assert found.policy_domain == "com"
    assert found.policy is not None


def test_psd_y_where_the_walk_began_is_the_organisation_itself() -> None:
    zone = Zone(bank_example=RECORD + "; psd=y", example=RECORD)
    assert organisation(zone, "bank.example").domain == "bank.example"


def test_without_any_record_a_domain_is_its_own_organisation() -> None:
    assert organisation(Zone(), "a.mail.example.com") == Organisation("a.mail.example.com")


def test_several_records_are_none_and_other_txt_records_do_not_count() -> None:
    zone = Zone()
    zone.publish("a.example.com", RECORD, RECORD)
    zone.publish("example.com", "v=spf1 -all", RECORD, "x")
    assert organisation(zone, "a.example.com").domain == "example.com"
    assert organisation(zone, "a.example.com").policy_domain == "example.com"


def test_the_organisations_own_record_goes_before_the_public_suffixs() -> None:
    zone = Zone(giant_bank_example=RECORD, bank_example=RECORD + "; psd=y")
    found = organisation(zone, "mail.giant.bank.example")
    assert found.domain == found.policy_domain == "giant.bank.example"


def test_below_a_long_public_suffix_the_organisation_was_never_asked() -> None:
    zone = Zone(c_d_e_f_g_example_com=RECORD + "; psd=y", b_c_d_e_f_g_example_com=RECORD)
    found = organisation(zone, "mail.a.b.c.d.e.f.g.example.com")
    assert found.domain == "b.c.d.e.f.g.example.com"
    assert found.policy_domain == "c.d.e.f.g.example.com"


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
def test_a_missing_answer_before_the_end_is_a_doubt(status: Status) -> None:
    zone = Zone(example_com=RECORD)
    zone.add("_dmarc.com", "TXT", status=status)
    assert organisation(zone, "a.example.com").doubts == ("com",)


def test_a_missing_answer_behind_the_end_does_not_matter() -> None:
    zone = Zone(example_com=RECORD + "; psd=n")
    zone.fail("_dmarc.com", "TXT")
    assert organisation(zone, "a.example.com").doubts == ()


def test_nothing_is_asked_twice_nor_behind_a_known_end() -> None:
    zone = Zone(example_com=RECORD + "; psd=n")
    tree = Tree()
    zone.run(tree.walk("a.example.com"))
    zone.run(tree.walk("b.example.com"))
    zone.run(tree.walk("b.example.com"))
    assert zone.rounds[1:] == [["_dmarc.b.example.com"]]


def test_a_name_too_long_for_its_record_is_not_asked() -> None:
    long = ".".join(["a" * 49] * 5)  # 249, and 256 with _dmarc.
    zone = Zone()
    organisation(zone, long)
    assert f"_dmarc.{long}" not in zone.asked
    assert len(zone.asked) == 4


def test_a_domain_exists_unless_its_name_does_not() -> None:
    zone = Zone()
    zone.add("www.example.com", "AAAA", "2001:db8::1")
    assert zone.run(Tree().exists("www.example.com")) is True  # RFC 9989 A.4: NODATA exists
    assert zone.run(Tree().exists("ghost.example.com")) is False
    zone.time_out("slow.example.com", "A")
    assert zone.run(Tree().exists("slow.example.com")) is None


def test_what_has_something_below_it_exists_without_asking() -> None:
    zone = Zone()
    zone.publish("a.example.com", "not a record")
    zone.add("_dmarc.b.example.com", "TXT", status=Status.NO_DATA)
    tree = Tree()
    zone.run(tree.look_up(["a.example.com", "b.example.com"]))
    asked = len(zone.asked)
    assert zone.run(tree.exists("a.example.com")) is True
    assert zone.run(tree.exists("b.example.com")) is True
    assert len(zone.asked) == asked


# Names of one family, so that walks meet: the tail of one long name under a label or two.
FAMILY = ["c", "d", "e", "f", "g", "h", "i", "example", "com"]
DOMAINS = st.builds(
    lambda head, left: ".".join([*head, *FAMILY[left:]]),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
    st.integers(0, len(FAMILY) - 1),
)
TEXTS = st.sampled_from(
    ["", "; psd=y", "; psd=n", "; psd=u", "; sp=none", "; np=none", "; adkim=s", "; aspf=s; t=y"]
).map(lambda tags: f"v=DMARC1; p=reject{tags}")
ZONES = st.dictionaries(
    DOMAINS,
    st.lists(st.one_of(TEXTS, st.just("something else")), min_size=1, max_size=2),
    max_size=8,
)


@given(ZONES, DOMAINS)
def test_organisations_are_those_of_the_letter(txt: dict[str, list[str]], domain: str) -> None:
    zone = Zone()
    for name, texts in txt.items():
        zone.publish(name, *texts)
    found = organisation(zone, domain)
    assert found.domain == by_the_letter.organisational_domain(domain, txt)
    assert found.doubts == ()
    policy = by_the_letter.policy_record(domain, txt)
    if policy is not None and policy[0] != domain:
        assert found.policy_domain == policy[0]
        assert found.policy is not None
        assert found.policy.text == policy[1]
