"""What fails in a play fails its test: a claim, a play that breaks off, one that claims nothing."""

import os

import pytest
from tests.lab.__main__ import STORIES, hindrance, main
from tests.lab.playing import played
from tests.lab.stage import Stage
from tests.lab.story import Story, soon


def told() -> tuple[Story, list[str]]:
    lines: list[str] = []
    return Story("a story", lines.append), lines


def test_a_story_whose_claims_hold_passes_and_tells_them() -> None:
    story, lines = told()
    story.say("it begins")
    assert story.within("it was quick", 0.5, 1.0)
    story.verdict()
    assert lines == ["09:00:00  it begins", "09:00:00    ok   it was quick: 0.50 s (limit 1 s)"]


@pytest.mark.parametrize("seconds", [1.0, None], ids=["late", "never"])
def test_one_claim_that_fails_fails_the_story_which_goes_on(seconds: float | None) -> None:
    story, _ = told()
    assert not story.within("it was quick", seconds, 1.0)
    assert story.claim("it was right", True)
    with pytest.raises(AssertionError, match="FAIL it was quick"):
        story.verdict()


def test_a_story_that_claims_nothing_does_not_pass() -> None:
    with pytest.raises(AssertionError):
        told()[0].verdict()


def test_a_play_that_breaks_off_has_failed() -> None:
    def breaks(_: Stage, story: Story) -> None:
        story.claim("it begins", True)
        raise TimeoutError("nothing came")

    story = played(breaks, object.__new__(Stage), told()[0])
    with pytest.raises(AssertionError, match="FAIL the play comes to its end: TimeoutError: noth"):
        story.verdict()


def test_what_never_holds_is_given_up() -> None:
    assert soon(lambda: False, 0.1) is None
    assert soon(lambda: True, 0.1) is not None


def test_make_lab_says_in_a_sentence_that_it_needs_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root may: sudo make lab" in hindrance()
    assert main(["S4"]) == 69
    assert "sudo make lab" in capsys.readouterr().err


def test_make_lab_knows_four_stories_and_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(STORIES) == ["S4", "S3", "S1", "S10"]
    with pytest.raises(SystemExit):
        main(["S9"])
    assert "there are S4, S3, S1, S10" in capsys.readouterr().err
