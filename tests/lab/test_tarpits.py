"""S10 in the laboratory: healthy mail does not notice tarpits, nor a black hole."""

import pytest
from tests.lab.playing import Play, play_together
from tests.lab.plays import tarpits
from tests.lab.story import Story
from tests.lab.world import NEEDS

pytestmark = pytest.mark.peers(*NEEDS, "nsd", "unbound")


@pytest.fixture(scope="module")
def stories() -> dict[Play, Story]:
    return play_together(tarpits.REPERTOIRE)


def test_healthy_mail_does_not_notice_tarpits_nor_a_black_hole(
    stories: dict[Play, Story],
) -> None:
    stories[tarpits.tarpits].verdict()
