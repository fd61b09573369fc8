"""S4 in the laboratory: exactly the blocked provider's mail goes through the relay."""

import pytest
from tests.lab.playing import Play, play_together
from tests.lab.plays import blocked_provider
from tests.lab.story import Story
from tests.lab.world import NEEDS

pytestmark = pytest.mark.peers(*NEEDS, "nsd", "unbound")


@pytest.fixture(scope="module")
def stories() -> dict[Play, Story]:
    return play_together(blocked_provider.REPERTOIRE)


def test_a_blocked_providers_mail_goes_through_the_relay_and_comes_back_direct(
    stories: dict[Play, Story],
) -> None:
    stories[blocked_provider.blocked].verdict()


def test_a_path_that_fails_every_second_try_does_not_end_the_relay(
    stories: dict[Play, Story],
) -> None:
    stories[blocked_provider.flickering].verdict()


def test_mail_comes_twice_only_where_the_cut_fell_between_dot_and_reply(
    stories: dict[Play, Story],
) -> None:
    stories[blocked_provider.between_dot_and_reply].verdict()
