from dataclasses import replace
from pathlib import Path as File

import pytest
from tests.routing.paths.rig import ONE, TWO

from postern.mail.paths import Path, Sign
from postern.mail.route import Target
from postern.routing.paths.census import Met
from postern.routing.paths.health import FORGET_S, PathCondition, PathState
from postern.routing.paths.store import file as file_module
from postern.routing.paths.store.file import PathStore, Written
from postern.routing.paths.store.view import PathView

NOW = 1_750_000_000.0


def state(path: Path = ONE, at: float = NOW, **changes: object) -> PathState:
    plain = PathState(
        path, "tea.example", "mx.tea.example", PathCondition.BLOCKED, at, Sign.SILENT, "no answer",
        at - 60, 2, at + 60, 1, at, at - 1, at - 2,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]  # by name


def test_a_state_comes_back_as_it_was(tmp_path: File) -> None:
    one, other = PathStore.open(tmp_path, "one"), PathStore.open(tmp_path, "other")
    in_clear = replace(ONE, encrypted=False)
    states = [state(), state(TWO, last_good_at=None), state(in_clear)]
    one.write(Written(states))
    assert sorted(other.news(), key=repr) == sorted(states, key=repr)
    assert other.news() == []
    assert one.news() == []
    one.close()
    other.close()


def test_news_go_on_after_everything_was_swept(tmp_path: File) -> None:
    one, other = PathStore.open(tmp_path, "one"), PathStore.open(tmp_path, "other")
    for number in range(5):
        one.write(Written([state(at=NOW + number)]))
    assert len(other.news()) == 1
    assert one.sweep(NOW + 2 * FORGET_S) == 1
    fresh = state(at=NOW + 2 * FORGET_S)
    one.write(Written([fresh]))
    assert other.news() == [fresh]
    one.close()
    other.close()


def test_healed_paths_go_after_an_hour_and_blocked_ones_when_no_mail_needed_them(
    tmp_path: File,
) -> None:
    store = PathStore.open(tmp_path, "one")
    healed = state(condition=PathCondition.HEALTHY)
    store.write(Written([healed, state(TWO)]))
    assert store.sweep(NOW + 3500) == 0
    assert store.sweep(NOW + 3700) == 1
    assert store.sweep(NOW + FORGET_S) == 0
    assert store.sweep(NOW + FORGET_S + 3700) == 1
    store.close()


def test_everything_is_bounded_and_the_oldest_goes_first(
    tmp_path: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_PATHS", "MAX_DOMAINS", "MAX_TARGETS"):
        monkeypatch.setattr(file_module, name, 10)
    store = PathStore.open(tmp_path, "one")
    paths = [Path("direct", f"192.0.2.{number}", 25, encrypted=True) for number in range(30)]
    store.write(
        Written(
            [state(path, NOW + number) for number, path in enumerate(paths)],
            [
                Met(
                    "g",
                    "direct",
                    f"tea{number}.example",
                    (Target("mx", path.ip, 25),),
                    NOW + number,
                )
                for number, path in enumerate(paths)
            ],
        )
    )
    assert store.sweep(NOW + 60) == 60
    store.close()
    view = PathView.open(tmp_path)
    assert {one.path.ip for one in view.states()} == {path.ip for path in paths[20:]}
    assert view.domains("g", 100) == sorted(f"tea{number}.example" for number in range(20, 30))
    assert len(view.addresses()) == 10
    view.close()


def test_a_file_of_another_version_is_begun_anew(tmp_path: File) -> None:
    store = PathStore.open(tmp_path, "one")
    store.write(Written([state()]))
    with store._database.write() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    store.close()
    view = PathView.open(tmp_path)
    assert view.states() == []
    view.close()
