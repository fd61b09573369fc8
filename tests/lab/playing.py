"""Plays are played: beside each other in tests, one by one where people look on.

A module of :mod:`tests.lab.plays` has ``CAST``, ``SETTINGS`` and ``PLAYS``. Its plays share one
stage; each has providers of its own, so that they do not meet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.cast import Provider
from tests.lab.stage import Stage, stage
from tests.lab.story import Story

Play = Callable[[Stage, Story], None]


@dataclass(frozen=True, slots=True)
class Repertoire:
    """The plays of one story, and what they need.

    Args:
        title: the story.
        cast: who lives in the world.
        plays: each with a cast of its own.
        settings: Postern's, beside :data:`tests.lab.stage.SHORTENED`.
        has_relay: Postern has a relay abroad.
    """

    title: str
    cast: Sequence[Provider]
    plays: Sequence[Play]
    settings: Mapping[str, Mapping[str, str]]
    has_relay: bool = True

    @contextmanager
    def staged(self) -> Iterator[Stage]:
        """The stage they are played on."""
        with stage(*self.cast, has_relay=self.has_relay, settings=self.settings) as made:
            yield made


def played(play: Play, on: Stage, story: Story) -> Story:
    """Play one to its end. Where it breaks off, that is a claim that failed."""
    try:
        play(on, story)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the claims
        story.claim("the play comes to its end", False, f"{type(error).__name__}: {error}")
    return story


def play_together(repertoire: Repertoire) -> dict[Play, Story]:
    """All plays at the same time on one stage."""
    stories = {
        play: Story(f"{repertoire.title}: {play.__name__.replace('_', ' ')}")
        for play in repertoire.plays
    }
    with repertoire.staged() as made, ThreadPoolExecutor(len(stories)) as pool:
        running = [pool.submit(played, play, made, story) for play, story in stories.items()]
        for one in running:
            one.result()
        for story in stories.values():
            if not story.holds:
                story.log = made.home.log()[-8000:]
    return stories
