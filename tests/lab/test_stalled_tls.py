"""S1 in the laboratory: STARTTLS stalls, and mail goes encrypted wherever it must."""

import pytest
from tests.lab.playing import Play, play_together
from tests.lab.plays import stalled_tls
from tests.lab.story import Story
from tests.lab.world import NEEDS

pytestmark = pytest.mark.peers(*NEEDS, "nsd", "unbound")


@pytest.fixture(scope="module")
def stories() -> dict[Play, Story]:
    return play_together(stalled_tls.REPERTOIRE)


def test_mail_goes_encrypted_elsewhere_where_one_address_of_three_stalls(
    stories: dict[Play, Story],
) -> None:
    stories[stalled_tls.one_of_three].verdict()


def test_an_address_is_exempted_where_all_stall_until_its_test_is_good(
    stories: dict[Play, Story],
) -> None:
    stories[stalled_tls.all_stall].verdict()


def test_mail_under_dane_waits_and_never_goes_in_clear(
    stories: dict[Play, Story],
) -> None:
    stories[stalled_tls.dane].verdict()


def test_mail_under_mta_sts_waits_and_never_goes_in_clear(
    stories: dict[Play, Story],
) -> None:
    stories[stalled_tls.mta_sts].verdict()
