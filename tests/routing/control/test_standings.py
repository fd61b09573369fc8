"""How groups stand, in memory: in step with others, and never in the way of mail."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from postern.routing.control.standings import Standings
from postern.routing.control.store import StandingStore
from postern.routing.paths import groups
from postern.routing.paths.groups import GroupState, Standing
from postern.runtime.clock import FakeClock


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Standings, Standings]]:
    clock = FakeClock()
    made = [Standings(StandingStore(tmp_path / "paths.db"), clock) for _ in range(2)]
    for one in made:
        one.open()
    yield made[0], made[1]
    for one in made:
        await one.close()


def probing(standing: Standing) -> Standing:
    return replace(standing, state=GroupState.PROBING)


def good(standing: Standing) -> Standing:
    return groups.canary_ended(standing, 1.0, is_good=True)


async def test_who_was_slower_changes_what_the_faster_one_left(
    pair: tuple[Standings, Standings],
) -> None:
    one, other = pair
    await one.change("google", probing)
    await other.refresh()
    for canaries in (1, 2):
        await one.change("google", good)
        changed = await other.change("google", good)
        assert changed is not None
        assert changed[1].canaries == 2 * canaries, "nobody's good canary is lost"
    (news,) = await one.refresh()
    assert news == other.of("google")
    assert await one.refresh() == []


async def test_what_changes_nothing_is_not_written(pair: tuple[Standings, Standings]) -> None:
    one, other = pair
    assert await one.change("google", lambda _: None) is None
    assert await one.change("google", lambda standing: standing) is None
    assert await other.refresh() == []


async def test_what_is_over_is_forgotten_by_all(tmp_path: Path) -> None:
    clock = FakeClock()
    one = Standings(StandingStore(tmp_path / "paths.db"), clock)
    other = Standings(StandingStore(tmp_path / "paths.db"), clock)
    await one.change("google", lambda s: replace(s, withdrawn_at=clock.now(), since=clock.now()))
    await other.refresh()
    await one.sweep()
    assert one.of("google") is not None
    clock.advance(groups.RELAPSE_S)
    await one.sweep()
    assert one.of("google") is None
    (news,) = await other.refresh()
    assert news == Standing("google")
    assert other.of("google") is None
    for standings in (one, other):
        await standings.close()


async def test_a_file_that_cannot_be_opened_is_told_of_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "paths.db"
    path.mkdir()
    standings = Standings(StandingStore(path), FakeClock())
    standings.open()
    assert await standings.change("google", probing) is None
    assert await standings.refresh() == []
    assert capsys.readouterr().out.count("groups.un") == 1, "once a minute"
    path.rmdir()
    assert await standings.change("google", probing) is not None
    await standings.close()
