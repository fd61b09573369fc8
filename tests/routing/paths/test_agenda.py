import pytest

from postern.mail.paths import Path
from postern.routing.paths.agenda import Agenda, Urgency


def path(ip: str) -> Path:
    return Path("direct", ip, 25, encrypted=True)


class Fixture:
    def __init__(self) -> None:
        self.ranks: dict[Path, tuple[Urgency, str]] = {}
        self.agenda = Agenda(self.ranks.__getitem__)

    def put(self, ip: str, urgency: Urgency, group: str, at: float = 0.0) -> None:
        self.ranks[path(ip)] = (urgency, group)
        assert self.agenda.put(path(ip), at)

    def take(self, most: int = 100, free: int = 20, slots: int = 20, now: float = 10.0) -> str:
        return " ".join(one.ip for one in self.agenda.take(now, most, free, slots))


@pytest.fixture
def it() -> Fixture:
    return Fixture()


def test_only_what_is_due_is_taken(it: Fixture) -> None:
    it.put("a", Urgency.NEEDED, "g", 5.0)
    it.put("b", Urgency.NEEDED, "g", 15.0)
    assert it.agenda.due_in(0.0) == 5.0
    assert it.take() == "a"
    assert it.agenda.due_in(10.0) == 5.0
    assert it.take(now=15.0) == "b"


def test_what_is_urgent_goes_first_and_what_nobody_needs_last(it: Fixture) -> None:
    for urgency in reversed(Urgency):
        it.put(urgency.name, urgency, urgency.name)
    taken = it.take().split()
    assert taken[0] == "ASKED"
    assert set(taken[1:3]) == {"PROBING", "BESIDE"}
    assert taken[3:] == ["NEEDED", "REST"]


def test_groups_take_turns(it: Fixture) -> None:
    for ip in ("a1", "a2", "a3", "b1", "c1"):
        it.put(ip, Urgency.NEEDED, ip[0])
    assert it.take() == "a1 b1 c1 a2 a3"


def test_two_kinds_that_are_as_urgent_take_turns_however_few_may_begin(it: Fixture) -> None:
    for number in range(4):
        it.put(f"p{number}", Urgency.PROBING, f"p{number}")
        it.put(f"b{number}", Urgency.BESIDE, f"b{number}")
    assert sorted(it.take(most=1)[0] for _ in range(4)) == ["b", "b", "p", "p"]


@pytest.mark.parametrize(("slots", "patient"), [(20, 15), (2, 1), (1, 1)])
def test_slots_are_kept_free_for_what_is_urgent(it: Fixture, slots: int, patient: int) -> None:
    for number in range(40):
        it.put(str(number), Urgency.REST, str(number))
    assert len(it.take(free=slots, slots=slots).split()) == patient
    it.put("asked", Urgency.ASKED, "g")
    assert it.take(free=1, slots=slots).startswith("asked")


def test_who_becomes_urgent_while_he_waits_goes_first(it: Fixture) -> None:
    for ip in ("a", "b", "c"):
        it.put(ip, Urgency.REST, ip)
    assert it.take(most=1) == "a"
    it.ranks[path("c")] = (Urgency.ASKED, "c")
    it.agenda.promote(path("c"))
    assert it.take() == "c b"


def test_what_was_put_off_or_dropped_is_not_taken(it: Fixture) -> None:
    for ip in ("a", "b", "c", "d"):
        it.put(ip, Urgency.NEEDED, ip)
    assert it.take(most=1) == "a"
    it.agenda.put(path("b"), 99.0)
    it.agenda.drop(path("c"))
    assert it.take() == "d"
    assert not it.agenda.put_sooner(path("b"), 120.0)
    assert it.agenda.put_sooner(path("b"), 90.0)
    assert it.take(now=90.0) == "b"
