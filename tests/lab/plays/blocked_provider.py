"""S4: a provider is blocked. Exactly its mail leaves through the relay, and comes back direct."""

import time
from collections.abc import Iterable, Sequence

from tests.journeys.told import why
from tests.lab.answers import group, temporaries
from tests.lab.behaviour import Behaviour, Letter
from tests.lab.cast import Provider
from tests.lab.cuts import How
from tests.lab.mail import Sender, Sent, flowing
from tests.lab.playing import Repertoire
from tests.lab.promises import FIRST_S, NEXT_S
from tests.lab.stage import Stage
from tests.lab.story import Story, soon
from tests.lab.world import ABROAD, HOME

GIANT = Provider("giant", 11, 5, ("tea", "harbour", "new-customer"))
CALM = Provider("calm", 21, 2, ("calm-tea",))
FLICKER = Provider("flicker", 31, 5, ("lamp",))
LATE = Provider("late", 41, 2, ("dot",))
CAST = (GIANT, CALM, FLICKER, LATE)

RETEST_S = 2
GOOD_TESTS = 3
CANARIES = 3
SETTINGS = {
    "paths": {
        "first_retest_s": f"{RETEST_S}",
        "retest_s": f"{RETEST_S}",
        "good_tests": f"{GOOD_TESTS}",
        "canaries": f"{CANARIES}",
    }
}
"""Half an hour between two tests is two seconds here. The numbers of tests are the usual ones."""

BACK_S = RETEST_S * (GOOD_TESTS + 1) + 6.0
EVERY_S = 0.1
SHOWN_S = 5 * RETEST_S
"""An address is blocked after two failures in a row, and they are tested one after the other."""
SILENT_DOT_S = 90.0
"""A minute for the body, and the final dot's own time."""


def blocked(stage: Stage, story: Story) -> None:
    """Five MX cut while mail flows; mended after a while."""
    recipients = ["zoe@tea.example", "bob@calm-tea.example", "ann@harbour.example"]
    with flowing(stage.world.home, stage.port, recipients, every_s=EVERY_S) as flow:
        direct = soon(lambda: min(_counts(stage, recipients)) >= 3, 20)
        story.claim("before: mail flows to every domain", direct is not None)
        letters = stage.actors.letters(*GIANT.addresses, *CALM.addresses)
        story.claim("before: all of it goes direct", all(one.client == HOME for one in letters))
        cut_at = time.time()
        stage.world.cut("home", *GIANT.addresses)
        story.say("all five MX of the provider are cut off from home")
        _relayed(stage, story, flow.sent, cut_at)
        _untouched(stage, story, flow.sent, cut_at)
        _seen(stage, story)
        mended_at = time.time()
        stage.world.mend(*GIANT.addresses)
        story.say("the provider can be reached again")
        _back(stage, story, mended_at)
    _complete(stage, story, flow.sent, recipients, cuts=(cut_at,))


def _counts(stage: Stage, recipients: Iterable[str]) -> list[int]:
    letters = stage.actors.letters()
    return [sum(to in one.recipients for one in letters) for to in recipients]


def _arrival(stage: Stage, sent: Sent) -> Letter | None:
    """Its first copy, once there is one."""
    letters = stage.actors.letters()
    return next((one for one in letters if one.message_id == sent.message_id), None)


def _delivered(
    stage: Stage, story: Story, text: str, sent: Sent, limit_s: float, client: str = ABROAD
) -> bool:
    """Claim that a message arrives in time, from that address."""
    soon(lambda: _arrival(stage, sent) is not None, limit_s + 5)
    found = _arrival(stage, sent)
    took = None if found is None else found.at - sent.at
    if found is None:
        told = why(stage.home, sent.code)
        story.say(f"{sent.code} has not come: {told[0].attempts if told else 'not on file'}")
    is_there = story.within(text, took, limit_s)
    if found is not None:
        place = "through the relay" if client == ABROAD else "direct"
        story.claim(f"{text}, {place}", found.client == client, found.client)
    return is_there


def _relayed(stage: Stage, story: Story, flow: Sequence[Sent], cut_at: float) -> None:
    """The first message, the next one, and one to a domain nobody has written to before."""
    domains = tuple(f"@{domain}.example" for domain in GIANT.domains)

    def hit() -> list[Sent]:
        return [one for one in list(flow) if one.at > cut_at and one.to.endswith(domains)]

    soon(lambda: bool(hit()), 5)
    first = hit()[0]
    _delivered(stage, story, "the first message after the cut", first, FIRST_S)
    told = why(stage.home, first.code)
    tried = [attempt.egress for attempt in told[0].attempts] if told else []
    story.claim(
        "why tells of the direct tries and of the relay",
        "direct" in tried and tried[-1:] == ["us1"],
        f"{tried}",
    )
    with Sender(stage.world.home, stage.port) as sender:
        _delivered(stage, story, "the next message", sender.send("zoe@tea.example"), NEXT_S)
        met = sender.send("new@new-customer.example")
        _delivered(stage, story, "a domain of the group met for the first time", met, NEXT_S)
        soon(lambda: bool(why(stage.home, met.code)), 5)
        attempts = why(stage.home, met.code)[0].attempts
        story.claim(
            "it went straight through the relay",
            [attempt.egress for attempt in attempts] == ["us1"],
            f"{[(attempt.egress, attempt.address) for attempt in attempts]}",
        )


def _untouched(stage: Stage, story: Story, flow: Sequence[Sent], cut_at: float) -> None:
    """The other group's mail, from the cut until now."""
    calm = [one for one in list(flow) if one.to.endswith("@calm-tea.example")]
    during = [one for one in calm if cut_at <= one.at < time.time() - NEXT_S]
    found = [(one, _arrival(stage, one)) for one in during]
    late = [one for one, letter in found if letter is None or letter.at - one.at > NEXT_S]
    story.claim(
        f"other groups' mail takes less than {NEXT_S:g} s all the while",
        bool(during) and not late,
        f"{len(late)} of {len(during)} late",
    )
    story.claim(
        "other groups' mail goes direct all the while",
        all(letter is None or letter.client == HOME for _, letter in found),
    )


def _seen(stage: Stage, story: Story) -> None:
    """What commands show while the relay is engaged."""
    soon(lambda: group(stage.home, GIANT.group).state == "blocked", SHOWN_S, 0.5)
    shown = group(stage.home, GIANT.group)
    story.claim("paths shows the relay", "us1" in (shown.route or ""), f"{shown.route}")
    story.claim("paths shows the group blocked", shown.state == "blocked", shown.state)
    known = {one.address for one in shown.addresses if one.egress == "direct"}
    bare = {address.rsplit(":", 1)[0] for address in known}
    story.claim(
        "paths shows the addresses that do not answer",
        bare == set(GIANT.addresses),
        f"{sorted(bare)}",
    )
    others = group(stage.home, CALM.group)
    story.claim(
        "paths shows nothing bad of other groups",
        others.state == "healthy" and not others.route,
        others.state,
    )
    made = temporaries(stage.home, "route", GIANT.group)
    story.claim("the route is one temporary, with reason and end", _is_dated(made), f"{made}")


def _is_dated(made: "Sequence[object]") -> bool:
    return len(made) == 1 and bool(getattr(made[0], "reason", "")) and bool(
        getattr(made[0], "until", "")
    )  # fmt: skip


def _back(stage: Stage, story: Story, mended_at: float) -> None:
    """The relay is taken back by itself."""

    def direct_again() -> bool:
        letters = stage.actors.letters(*GIANT.addresses)
        latest = [one.client for one in letters if one.at > mended_at][-10:]
        return len(latest) == 10 and set(latest) == {HOME}

    story.within("mended: all mail goes direct again", soon(direct_again, BACK_S + 10), BACK_S)
    ended = soon(lambda: not temporaries(stage.home, "route", GIANT.group), 5, 0.5)
    story.claim("the route has ended by itself", ended is not None)
    shown = group(stage.home, GIANT.group)
    story.claim("paths shows no relay any more", not shown.route, f"{shown.state} {shown.route}")


def _complete(
    stage: Stage,
    story: Story,
    sent: Sequence[Sent],
    recipients: Sequence[str],
    cuts: Sequence[float],
) -> None:
    """Nothing is lost; twice is only what was between dot and reply when it was cut."""
    soon(lambda: all(_arrival(stage, one) is not None for one in sent), 30, 0.2)
    missing = [one for one in sent if _arrival(stage, one) is None]
    story.claim("nothing is lost", not missing, f"{len(missing)} of {len(sent)} missing")
    twice = [
        message_id
        for (message_id, to), count in stage.actors.copies().items()
        if count > 1 and to in recipients
    ]
    unexplained = [one for one in twice if not _was_cut(stage, one, cuts)]
    story.claim(
        "twice is only what was between dot and reply when it was cut",
        not unexplained,
        f"{len(twice)} twice, {len(unexplained)} of them without need",
    )


def _was_cut(stage: Stage, message_id: str, cuts: Sequence[float]) -> bool:
    """Whether its first copy came in the moment of a cut."""
    first = next(one for one in stage.actors.letters() if one.message_id == message_id)
    return any(-1.0 < first.at - cut_at < 1.0 for cut_at in cuts)


def flickering(stage: Stage, story: Story, *, window_s: float = 7 * RETEST_S) -> None:
    """A path that fails every second try is no path: the relay stays."""
    with Sender(stage.world.home, stage.port) as sender:
        before_cut = sender.send("a@lamp.example")
        _delivered(stage, story, "before: a message", before_cut, NEXT_S, client=HOME)
        visits = stage.actors.visits
        soon(lambda: all(one.end for one in visits(*FLICKER.addresses)), 15)  # none rests
        stage.world.cut("home", *FLICKER.addresses)
        story.say("five MX are cut off from home")
        first = sender.send("a@lamp.example")
        _delivered(stage, story, "the first message after the cut", first, FIRST_S)
        engaged = soon(lambda: bool(temporaries(stage.home, "route", FLICKER.group)), 5, 0.5)
        if not story.claim("the relay is engaged", engaged is not None):
            return
        before = temporaries(stage.home, "route", FLICKER.group)
        stage.world.flaky("home", *FLICKER.addresses)
        story.say("now every second connection to them works")
        sent: list[Sent] = []
        changes: set[str] = set()
        end = time.monotonic() + window_s
        while time.monotonic() < end:
            sent.append(sender.send("a@lamp.example"))
            time.sleep(0.5)  # the pace of the mail, no wait for anything
            changes.add(f"{[one.id for one in temporaries(stage.home, 'route', FLICKER.group)]}")
        story.claim(
            "the same route stands all the while",
            changes == {f"{[one.id for one in before]}"},
            f"{sorted(changes)}",
        )
        soon(lambda: _arrival(stage, sent[-1]) is not None, 5)
        found = [(one, _arrival(stage, one)) for one in sent]
        late = [one for one, letter in found if letter is None or letter.at - one.at > NEXT_S]
        story.claim(
            f"each message takes less than {NEXT_S:g} s",
            not late,
            f"{len(late)} of {len(sent)} late",
        )
        direct = [one for one, letter in found if letter is not None and letter.client == HOME]
        story.claim(
            "no message swings to the direct path", not direct, f"{len(direct)} of {len(sent)}"
        )


def between_dot_and_reply(stage: Stage, story: Story, *, is_silent: bool = False) -> None:
    """The peer has the message, we don't know it, and the path is gone.

    ``is_silent``: its reply is lost, so that it is waited for to the end of its time; without, the
    connection is reset.
    """
    stage.actors.behave(LATE.addresses, Behaviour(holds_dot=True))
    with Sender(stage.world.home, stage.port) as sender:
        sent = sender.send("a@dot.example")
        taken = soon(lambda: _arrival(stage, sent) is not None, 15)
        story.claim("the peer has the message and has not replied", taken is not None)
        stage.world.cut("home", *LATE.addresses, how=How.DROP if is_silent else How.REFUSE)
        story.say("cut between the final dot and its reply")
        stage.actors.behave(LATE.addresses)
        stage.actors.let_go(LATE.addresses, resets=not is_silent)
        other = sender.send("b@dot.example")
        _delivered(stage, story, "a message after the cut", other, FIRST_S)

    def copies() -> list[Letter]:
        return [one for one in stage.actors.letters() if one.message_id == sent.message_id]

    def waits() -> bool:
        told = why(stage.home, sent.code)
        return bool(told) and told[0].states().get(sent.to) == "waiting" and bool(told[0].attempts)

    known = soon(waits, SILENT_DOT_S if is_silent else 15, 0.5)
    story.claim("the message waits: the peer may have it", known is not None)
    story.claim("it is not sent again at once (RFC 1047)", len(copies()) == 1, f"{len(copies())}")
    stage.home.cli("queue", "retry", "--to", sent.to, "--yes")
    story.say("a person has it tried again")
    soon(lambda: len(copies()) > 1, 15)
    clients = [one.client for one in copies()]
    story.claim(
        "then it came twice, the second time through the relay",
        clients == [HOME, ABROAD],
        f"{clients}",
    )
    again = [one for one in stage.actors.letters() if one.message_id == other.message_id]
    story.claim("the other message came once", len(again) == 1, f"{len(again)} times")


REPERTOIRE = Repertoire(
    "S4: a provider is blocked", CAST, (blocked, flickering, between_dot_and_reply), SETTINGS
)
