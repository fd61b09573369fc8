"""What attempts showed of TLS at an address, and what is learned of it: scripted observations."""

from dataclasses import replace

import pytest

from postern.mail.paths import Observation, Path, Sign
from postern.measures.temporary import Kind, Temporary
from postern.routing.tls.exemptions.book import ExemptionBook
from postern.routing.tls.exemptions.exemption import Exemption, Place
from postern.routing.tls.exemptions.learner import MAX_TROUBLES, TOGETHER_S, Lesson, TlsLearner
from postern.runtime.clock import FakeClock

SECURE = Path("direct", "203.0.113.7", 25, encrypted=True)
CLEAR = replace(SECURE, encrypted=False)
TLS_SIGNS = [Sign.TLS_REFUSED, Sign.TLS_STALLED, Sign.TLS_BROKEN, Sign.TLS_CUT]


class Stand:
    """A learner, and a clock to say when things showed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.book = ExemptionBook(self.clock)
        self.told = 0
        self.learner = TlsLearner(self.book, self.tell)

    def tell(self) -> None:
        self.told += 1

    def saw(self, path: Path, sign: Sign, seconds: float = 20.0, **more: object) -> None:
        seen = Observation(path, "provider.example", "mx1.provider.example", sign,
                           self.clock.now(), seconds)  # fmt: skip
        self.learner.saw(replace(seen, **more))  # type: ignore[arg-type]  # a test's shorthand

    def learned(self) -> list[Lesson]:
        return self.learner.take()


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.mark.parametrize("sign", TLS_SIGNS)
def test_clear_text_that_got_through_after_trouble_with_tls_is_learned(
    stand: Stand, sign: Sign
) -> None:
    stand.saw(SECURE, sign)
    assert stand.told == 0, "trouble alone teaches nothing: other addresses may do better"
    stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.told == 1
    (lesson,) = stand.learned()
    assert lesson.place == Place("203.0.113.7", "mx1.provider.example", 25, "direct")
    assert lesson.reason.startswith("mx1.provider.example ")
    assert "(20 s)" in lesson.reason
    assert stand.learned() == []


def test_a_stall_is_told_in_words(stand: Stand) -> None:
    stand.saw(SECURE, Sign.TLS_STALLED, is_final=False)
    stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.learned()[0].reason == (
        "mx1.provider.example did not go on after STARTTLS (20 s), and no other way got through"
    )


def test_clear_text_without_trouble_teaches_nothing(stand: Stand) -> None:
    stand.saw(CLEAR, Sign.ANSWERED)
    for sign in set(Sign) - set(TLS_SIGNS) - {Sign.ANSWERED}:
        stand.saw(SECURE, sign)
        stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.learned() == []


def test_trouble_that_passed_is_forgotten(stand: Stand) -> None:
    stand.saw(SECURE, Sign.TLS_STALLED, is_final=False)
    stand.saw(SECURE, Sign.ANSWERED)
    stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.learned() == []


def test_old_trouble_and_trouble_elsewhere_say_nothing(stand: Stand) -> None:
    stand.saw(replace(SECURE, ip="203.0.113.8"), Sign.TLS_STALLED)
    stand.saw(replace(SECURE, egress="us1"), Sign.TLS_STALLED)
    stand.saw(CLEAR, Sign.ANSWERED)
    stand.saw(SECURE, Sign.TLS_STALLED)
    stand.clock.advance(TOGETHER_S + 1)
    stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.learned() == []


def test_probes_teach_nothing(stand: Stand) -> None:
    stand.saw(SECURE, Sign.TLS_STALLED, is_probe=True)
    stand.saw(CLEAR, Sign.ANSWERED)
    stand.saw(SECURE, Sign.TLS_STALLED)
    stand.saw(CLEAR, Sign.ANSWERED, is_probe=True)
    assert stand.learned() == []


def test_an_address_that_is_exempted_is_of_use_and_not_learned_again(stand: Stand) -> None:
    made = Temporary("id", Kind.TLS, "stalls", "postern", 0.0, None)
    stand.book.fill([Exemption("X1", Place("203.0.113.7"), made, is_learned=True)])
    stand.saw(SECURE, Sign.TLS_STALLED)
    stand.saw(CLEAR, Sign.ANSWERED)
    stand.saw(CLEAR, Sign.ANSWERED)
    assert stand.learned() == []
    assert stand.book.take_uses() == {"id": (2, stand.clock.now())}
    assert stand.book.take_uses() == {}


def test_what_is_remembered_is_bounded(stand: Stand) -> None:
    for number in range(MAX_TROUBLES + 1):
        path = replace(SECURE, ip=f"2001:db8::{number:x}")
        stand.saw(path, Sign.TLS_STALLED)
    stand.saw(replace(CLEAR, ip="2001:db8::0"), Sign.ANSWERED)
    assert stand.learned() == []
    stand.saw(replace(CLEAR, ip="2001:db8::1"), Sign.ANSWERED)
    assert len(stand.learned()) == 1
