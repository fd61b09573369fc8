from dataclasses import replace

import pytest

from postern.mail.paths import Observation, Path, Sign
from postern.routing.paths import board as board_module
from postern.routing.paths.board import Board
from postern.routing.paths.health import PathCondition, PathState
from postern.runtime.clock import FakeClock

ONE = Path("direct", "192.0.2.1", 25, encrypted=True)
TWO = Path("direct", "192.0.2.2", 25, encrypted=True)


class Fixture:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kept: list[PathState] = []
        self.told: list[str] = []
        self.board = Board(self.clock, self.kept.append)
        self.board.on_change(self.told.append)

    def see(self, sign: Sign, path: Path = ONE, group: str = "tea.example") -> None:
        now = self.clock.now()
        self.board.saw(Observation(path, group, "mx.tea.example", sign, now, 0.1))
        self.clock.advance(10)

    def condition(self, path: Path = ONE) -> PathCondition | None:
        state = self.board.of(path)
        return None if state is None else state.condition


@pytest.fixture
def it() -> Fixture:
    return Fixture()


def test_a_healthy_path_that_answers_writes_nothing_and_tells_nobody(it: Fixture) -> None:
    for _ in range(100):
        it.see(Sign.ANSWERED)
    assert it.board.of(ONE) is None
    assert (it.kept, it.told, it.board.version) == ([], [], 0)


def test_a_failure_is_told_with_its_group_and_handed_on_to_be_kept(it: Fixture) -> None:
    it.see(Sign.REFUSED)
    assert it.told == ["tea.example"]
    assert [state.condition for state in it.kept] == [PathCondition.DEGRADED]
    assert it.board.version == 1


def test_what_is_repeated_without_end_is_kept_once_a_minute(it: Fixture) -> None:
    for _ in range(600):
        now = it.clock.now()
        it.board.saw(Observation(ONE, "tea.example", "mx", Sign.THROTTLED, now, 0.1))
        it.clock.advance(1)
    assert 9 <= len(it.kept) <= 11


def test_healing_is_handed_on_as_healthy(it: Fixture) -> None:
    for sign in (Sign.REFUSED, Sign.ANSWERED, Sign.ANSWERED):
        it.see(sign)
    assert it.board.of(ONE) is None
    assert not it.board.of_group("tea.example")
    assert it.kept[-1].condition is PathCondition.HEALTHY


def test_a_group_is_the_states_of_its_paths(it: Fixture) -> None:
    it.see(Sign.REFUSED)
    it.see(Sign.SILENT, TWO)
    it.see(Sign.SILENT, Path("direct", "192.0.2.9", 25, encrypted=True), "other.example")
    assert {state.path for state in it.board.of_group("tea.example")} == {ONE, TWO}
    assert set(it.board.groups()) == {"tea.example", "other.example"}


def test_a_server_that_always_greets_late_is_not_taken_for_a_silent_one(it: Fixture) -> None:
    def see(sign: Sign, seconds: float, *, is_final: bool = True) -> None:
        now = it.clock.now()
        it.board.saw(Observation(ONE, "g", "mx", sign, now, seconds, is_final=is_final))
        it.clock.advance(5)

    see(Sign.ANSWERED, 6.0)
    for _ in range(10):
        see(Sign.SILENT, 3.0, is_final=False)
        see(Sign.ANSWERED, 6.0)
    assert it.kept == []
    see(Sign.SILENT, 20.0)
    assert it.condition() is PathCondition.DEGRADED
    see(Sign.ANSWERED, 0.1)
    see(Sign.ANSWERED, 0.1)
    assert it.condition() is None
    see(Sign.SILENT, 3.0, is_final=False)
    assert it.condition() is PathCondition.DEGRADED


def test_an_address_that_two_groups_have_is_known_in_both(it: Fixture) -> None:
    it.see(Sign.REFUSED, group="google")
    it.see(Sign.REFUSED, group="own-name.example")
    it.see(Sign.REFUSED, group="google")
    assert [state.path for state in it.board.of_group("google")] == [ONE]
    assert it.board.of_group("own-name.example") == it.board.of_group("google")
    assert it.kept[-1].group == "google"
    it.told.clear()
    for _ in range(3):
        it.see(Sign.ANSWERED, group="google")
    assert set(it.told) == {"google", "own-name.example"}
    assert list(it.board.groups()) == []


def test_an_answer_in_clear_heals_what_the_network_did_to_the_encrypted_path(it: Fixture) -> None:
    in_clear = replace(ONE, encrypted=False)
    for sign in (Sign.SILENT, Sign.SILENT):
        it.see(sign)
    for _ in range(3):
        it.see(Sign.ANSWERED, in_clear)
    assert it.board.of(ONE) is None


def test_an_answer_in_clear_heals_nothing_that_tls_did(it: Fixture) -> None:
    in_clear = replace(ONE, encrypted=False)
    for sign in (Sign.TLS_BROKEN, Sign.TLS_BROKEN):
        it.see(sign)
    for _ in range(3):
        it.see(Sign.ANSWERED, in_clear)
    assert it.condition() is PathCondition.BLOCKED


def test_a_path_that_mail_asks_for_is_not_forgotten(it: Fixture) -> None:
    for sign in (Sign.REFUSED, Sign.REFUSED):
        it.see(sign)
    for _ in range(10):
        it.clock.advance(86_400)
        assert it.board.is_last(ONE)
    it.clock.advance(8 * 86_400)
    assert not it.board.is_last(ONE)


def test_who_lost_a_race_is_last_for_a_minute(it: Fixture) -> None:
    it.board.lost(ONE)
    assert it.board.is_last(ONE)
    assert not it.board.is_last(TWO)
    assert it.kept[-1].avoid_until == it.clock.now() + 60
    it.clock.advance(60)
    assert not it.board.is_last(ONE)
    assert it.board.of(ONE) is None


def test_the_last_good_answer_of_a_path_is_known_when_it_turns_bad(it: Fixture) -> None:
    good_at = it.clock.now()
    it.see(Sign.ANSWERED)
    it.see(Sign.REFUSED)
    state = it.board.of(ONE)
    assert state is not None
    assert state.last_good_at == good_at


def test_what_another_worker_knows_is_taken_over_and_told(it: Fixture) -> None:
    other = Fixture()
    other.see(Sign.REFUSED)
    other.see(Sign.REFUSED)
    it.board.learn(other.kept)
    assert it.condition() is PathCondition.BLOCKED
    assert it.kept == []
    assert it.told == ["tea.example", "tea.example"]


def test_older_news_of_another_worker_does_not_replace_newer_of_ours(it: Fixture) -> None:
    other = Fixture()
    other.see(Sign.REFUSED)
    it.clock.advance(10)
    it.see(Sign.REFUSED)
    it.see(Sign.REFUSED)
    it.board.learn(other.kept)
    assert it.condition() is PathCondition.BLOCKED


def test_what_another_worker_healed_is_healed_here(it: Fixture) -> None:
    other = Fixture()
    it.see(Sign.REFUSED)
    it.see(Sign.REFUSED)
    other.board.learn(it.kept)
    other.clock.advance(20)
    for _ in range(3):
        other.see(Sign.ANSWERED)
    it.board.learn(other.kept)
    assert it.board.of(ONE) is None


def test_the_board_is_bounded(it: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "MAX_STATES", 50)
    for number in range(200):
        it.see(Sign.REFUSED, Path("direct", f"192.0.2.{number}", 25, encrypted=True))
    assert len(it.board.of_group("tea.example")) <= 50
    last = it.board.of(Path("direct", "192.0.2.199", 25, encrypted=True))
    assert last is not None


def test_a_listener_with_a_bug_hinders_nobody(it: Fixture) -> None:
    def broken(_: str) -> None:
        raise RuntimeError

    it.board.on_change(broken)
    it.board.on_change(it.told.append)
    it.see(Sign.REFUSED)
    assert it.told == ["tea.example", "tea.example"]


def test_sweeping_forgets_what_time_has_healed_and_tells_it(it: Fixture) -> None:
    it.see(Sign.BUSY)
    it.clock.advance(3600)
    it.board.sweep()
    assert list(it.board.groups()) == []
    assert len(it.told) == 2


def test_a_lost_race_counts_in_a_worker_that_knows_newer_of_the_path(it: Fixture) -> None:
    other = Fixture()
    other.see(Sign.REFUSED)
    it.board.learn(other.kept)
    it.clock.advance(100)
    it.see(Sign.ANSWERED)
    assert not it.board.is_last(ONE)
    other.clock.advance(110)
    other.board.lost(ONE)
    it.board.learn(other.kept[-1:])
    assert it.board.is_last(ONE)
    state = it.board.of(ONE)
    assert state is not None
    assert state.last_sign is Sign.ANSWERED
    it.clock.advance(75)
    assert not it.board.is_last(ONE)


def test_a_race_lost_before_the_last_good_answer_counts_no_more(it: Fixture) -> None:
    other = Fixture()
    other.see(Sign.REFUSED)
    it.board.learn(other.kept)
    other.board.lost(ONE)  # ten seconds later
    it.clock.advance(20)
    it.see(Sign.ANSWERED)
    it.board.learn(other.kept[-1:])
    assert not it.board.is_last(ONE)


def test_all_workers_know_of_a_good_test_beside_addresses_in_trouble(it: Fixture) -> None:
    other = Fixture()
    now = other.clock.now()
    other.board.saw(Observation(ONE, "g", "mx", Sign.ANSWERED, now, 0.1, is_probe=True))
    it.board.learn(other.kept)
    assert it.board.answers(ONE, now)
    assert it.board.of(ONE) is None


def test_nothing_is_kept_of_paths_that_healed(it: Fixture) -> None:
    for number in range(50):
        path = replace(ONE, ip=f"192.0.2.{number}")
        for sign in (Sign.SILENT, Sign.ANSWERED, Sign.ANSWERED):
            it.see(sign, path, f"g{number}")
    it.clock.advance(8 * 86_400)
    it.board.sweep()
    kept = ("_states", "_kept_at", "_places", "_groups", "_groups_of")
    assert [len(getattr(it.board, name)) for name in kept] == [0] * 5
