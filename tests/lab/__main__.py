"""``make lab``: plays the stories for people to look on, second by second; fails if a claim does.

``python -m tests.lab [STORY …]`` with S1, S3, S4, S10; without any: all four.
"""

import argparse
import functools
import os
import shutil
import sys
from collections.abc import Sequence

from tests.lab.playing import Play, Repertoire, played
from tests.lab.plays import blocked_provider, stalled_tls, tarpits, wrong_mx
from tests.lab.stage import Stage
from tests.lab.story import Story
from tests.lab.watching import watched
from tests.peers.warm import nursery

STORIES = {
    "S4": blocked_provider.REPERTOIRE,
    "S3": wrong_mx.REPERTOIRE,
    "S1": stalled_tls.REPERTOIRE,
    "S10": tarpits.REPERTOIRE,
}
LONGER: dict[Play, Play] = {
    blocked_provider.flickering: functools.partial(blocked_provider.flickering, window_s=60.0),
    blocked_provider.between_dot_and_reply: functools.partial(
        blocked_provider.between_dot_and_reply, is_silent=True
    ),
    tarpits.tarpits: functools.partial(tarpits.tarpits, seconds=20.0, is_compared=True),
}
"""What lasts longer here than in tests, where a minute is too long."""
PROGRAMS = {"ip": "iproute2", "nft": "nftables", "nsd": "nsd", "unbound": "unbound"}
OK, FAILED, UNUSABLE = 0, 1, 69


def main(arguments: Sequence[str]) -> int:
    """Play what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("story", nargs="*", metavar="STORY", help="all when none is named")
    wanted = parser.parse_args(arguments).story or list(STORIES)
    if unknown := [name for name in wanted if name not in STORIES]:
        parser.error(f"no story {unknown[0]}; there are {', '.join(STORIES)}")
    if sentence := hindrance():
        print(sentence, file=sys.stderr)
        return UNUSABLE
    nursery.is_open = True  # who looks on asks Postern three things a second
    stories = [story for name in wanted for story in play(STORIES[name])]
    print("\n== what was claimed")
    for story in stories:
        print(f"\n{story.title}")
        for claim in story.claims:
            print(f"  {claim}")
    failed = sum(not claim.holds for story in stories for claim in story.claims)
    made = sum(len(story.claims) for story in stories)
    print(f"\n{made - failed} of {made} claims hold")
    return OK if not failed and all(story.holds for story in stories) else FAILED


def hindrance() -> str:
    """Why the laboratory can't be built here, in a sentence; empty: it can."""
    if os.geteuid() != 0:
        return "The laboratory makes network namespaces, which only root may: sudo make lab"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    os.environ["PATH"] = path
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    return f"The laboratory needs {', '.join(missing)}: scripts/peers" if missing else ""


def play(repertoire: Repertoire) -> list[Story]:
    """One story: its plays one after the other, each on a stage of its own."""
    stories = []
    for each in repertoire.plays:
        title = f"{repertoire.title}: {each.__name__.replace('_', ' ')}"
        print(f"\n== {title}\n   {(each.__doc__ or '').strip().splitlines()[0]}", flush=True)
        with repertoire.staged() as made:
            stories.append(_told(LONGER.get(each, each), made, Story(title, _line)))
    return stories


def _told(each: Play, made: Stage, story: Story) -> Story:
    """Play one while somebody looks on."""
    with watched(made, lambda text: story.say(f"    {text}")):
        return played(each, made, story)


def _line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
