import pytest

from postern.mail.dns import Answer, MxRecord, Question, Status, reversed_ip


@pytest.mark.parametrize("status", [Status.OK, Status.NO_NAME, Status.NO_DATA])
def test_facts_about_a_name_are_known(status: Status) -> None:
    assert status.is_known


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
def test_failure_and_silence_tell_nothing(status: Status) -> None:
    assert not status.is_known


def test_question_has_one_spelling_whatever_case_and_final_dot() -> None:
    assert Question.of("Tea.Example.", "mx") == Question("tea.example", "MX")


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.99", "99.2.0.192.in-addr.arpa"),
        ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"),
        ("fe80::1%eth0", "1." + "0." * 28 + "8.e.f.ip6.arpa"),
    ],
)
def test_reverse_question_names_the_address_backwards(ip: str, name: str) -> None:
    assert Question.reverse(ip) == Question(name, "PTR")


def test_block_list_labels_are_the_reversed_address() -> None:
    assert reversed_ip("192.0.2.99") == "99.2.0.192"
    assert reversed_ip("2001:db8::1") == "1." + "0." * 23 + "8.b.d.0.1.0.0.2"


def test_reverse_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Question.reverse("mx.example")


def test_mx_records_come_lowest_preference_first() -> None:
    answer = Answer(Question("tea.example", "MX"), Status.OK, ("20 b.example", "5 a.example"))
    assert answer.mx() == (MxRecord(5, "a.example"), MxRecord(20, "b.example"))


def test_null_mx_has_an_empty_host() -> None:
    answer = Answer(Question("tea.example", "MX"), Status.OK, ("0 .",))
    assert answer.mx() == (MxRecord(0, ""),)
