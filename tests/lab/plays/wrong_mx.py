"""S3: of five MX only the two least preferred can be reached. Mail goes there, direct."""

from tests.lab.answers import group, temporaries
from tests.lab.behaviour import Letter
from tests.lab.cast import Provider
from tests.lab.cuts import How
from tests.lab.mail import Sender, Sent
from tests.lab.playing import Repertoire
from tests.lab.promises import FIRST_S, NEXT_S
from tests.lab.stage import Stage
from tests.lab.story import Story, soon
from tests.lab.world import HOME

SILENT = Provider("silent", 11, 5, ("quiet",))
REFUSING = Provider("refusing", 21, 5, ("closed",))
CAST = (SILENT, REFUSING)
SETTINGS: dict[str, dict[str, str]] = {}
DEAD = 3
MANY = 20


def silent(stage: Stage, story: Story) -> None:
    """Three drop every packet."""
    _play(stage, story, SILENT, How.DROP)


def refused(stage: Stage, story: Story) -> None:
    """Three refuse every connection."""
    _play(stage, story, REFUSING, How.REFUSE)


def _play(stage: Stage, story: Story, provider: Provider, how: How) -> None:
    to = f"zoe@{provider.domains[0]}.example"
    alive = provider.addresses[DEAD:]
    stage.world.cut("home", *provider.addresses[:DEAD], how=how)
    story.say(f"the three best MX: {how.value}; the relay abroad reaches all five")
    with Sender(stage.world.home, stage.port) as sender:
        first = sender.send(to)
        took = soon(lambda: bool(_copies(stage, [first])), FIRST_S + 5)
        story.within("the first message", took, FIRST_S)
        sent = [first, *(sender.send(to) for _ in range(MANY))]
        soon(lambda: len(_copies(stage, sent)) >= len(sent), 20)
        letters = _copies(stage, sent)
        story.claim("every message arrives, once", len(letters) == len(sent), f"{len(letters)}")
        at = {one.message_id: one.at for one in sent}
        slowest = max((one.at - at[one.message_id] for one in letters[1:]), default=None)
        story.within("the slowest of the next", slowest, NEXT_S)
        story.claim(
            "all at the two that can be reached",
            {one.ip for one in letters} <= set(alive),
            f"{sorted({one.ip for one in letters})}",
        )
        story.claim(
            "all of it direct, none through the relay",
            {one.client for one in letters} == {HOME},
            f"{sorted({one.client for one in letters})}",
        )
        story.claim("under TLS", all(one.tls for one in letters))
        shown = group(stage.home, provider.group)
        story.claim("paths shows no relay", not shown.route, f"{shown.route}")
        bad = {one.address.rsplit(":", 1)[0] for one in shown.addresses if one.state != "healthy"}
        story.claim(
            "paths shows which addresses are bad", bad == set(provider.addresses[:DEAD]), f"{bad}"
        )
        made = temporaries(stage.home, "route", provider.group)
        story.claim("no route was made", not made, f"{made}")


def _copies(stage: Stage, sent: "list[Sent]") -> "list[Letter]":
    wanted = {one.message_id for one in sent}
    return [one for one in stage.actors.letters() if one.message_id in wanted]


REPERTOIRE = Repertoire("S3: most MX are dead", CAST, (silent, refused), SETTINGS)
