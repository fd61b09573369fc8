"""S3 in the laboratory: mail finds the two MX of five that can be reached."""

import pytest
from tests.lab.playing import Play, play_together
from tests.lab.plays import wrong_mx
from tests.lab.story import Story
from tests.lab.world import NEEDS

pytestmark = pytest.mark.peers(*NEEDS, "nsd", "unbound")


@pytest.fixture(scope="module")
def stories() -> dict[Play, Story]:
    return play_together(wrong_mx.REPERTOIRE)


def test_mail_goes_direct_to_the_two_mx_that_answer_where_three_are_silent(
    stories: dict[Play, Story],
) -> None:
    stories[wrong_mx.silent].verdict()


def test_mail_goes_direct_to_the_two_mx_that_answer_where_three_refuse(
    stories: dict[Play, Story],
) -> None:
    stories[wrong_mx.refused].verdict()
