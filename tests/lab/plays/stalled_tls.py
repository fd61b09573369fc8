"""S1: STARTTLS stalls. Mail goes encrypted elsewhere; in clear only where nobody forbids it."""

from tests.journeys.told import queue, why
from tests.lab.answers import temporaries
from tests.lab.behaviour import Behaviour, Letter, Tls
from tests.lab.cast import Provider
from tests.lab.mail import SECRET, Sender, Sent
from tests.lab.playing import Repertoire
from tests.lab.policies import PORT
from tests.lab.stage import MATCHING, Stage
from tests.lab.story import Story, soon

THIRD = Provider("third", 11, 3, ("one-of-three",))
STALLED = Provider("stalled", 21, 2, ("all-stall",))
DANE = Provider("dane", 31, 2, ("dane-tea",), is_signed=True, tlsa=MATCHING)
STS = Provider("sts", 41, 2, ("sts-tea",), has_policy=True)
CAST = (THIRD, STALLED, DANE, STS)
SETTINGS = {
    "delivery": {"session_budget_s": "5", "mta_sts_port": f"{PORT}"},
    "queue": {"first_retry_s": "4", "max_retry_s": "8"},
    "tls_exemptions": {"retest_s": "3"},
}
"""A handshake may take five seconds instead of thirty. A day between two tests of an exemption is
three seconds here."""
ELSEWHERE_S = 15.0
CLEAR_S = 60.0
ENDED_S = 20.0
MENDED_S = 20.0
"""The longest wait between two tries, and the try."""
STALLS = Behaviour(tls=Tls.HANDSHAKE_STALLS)


def one_of_three(stage: Stage, story: Story) -> None:
    """One address of three stalls."""
    stage.actors.behave(THIRD.addresses[:1], STALLS)
    story.say("the handshake stalls at the first of three addresses")
    with Sender(stage.world.home, stage.port) as sender:
        sent = sender.send("zoe@one-of-three.example")
        story.within("delivered elsewhere", _arrived(stage, sent, ELSEWHERE_S), ELSEWHERE_S)
        _encrypted(stage, story, sent, THIRD)
        made = temporaries(stage.home, "tls", THIRD.addresses[0])
        story.claim("no exemption: there was another address", not made, f"{made}")


def all_stall(stage: Stage, story: Story) -> None:
    """All addresses stall, and nobody asks for TLS."""
    stage.actors.behave(STALLED.addresses, STALLS)
    story.say("the handshake stalls at all addresses; nobody asks for TLS there")
    with Sender(stage.world.home, stage.port) as sender:
        sent = sender.send("zoe@all-stall.example")
        story.within("delivered in clear", _arrived(stage, sent, CLEAR_S), CLEAR_S)
        letter = _letter(stage, sent)
        story.claim("it was in clear", letter is not None and not letter.tls, f"{letter}")
        on_wire = stage.wire.carried(SECRET.encode())
        story.claim(
            "the wire shows it in clear there and nowhere else",
            bool(on_wire) and {flow[2] for flow in on_wire} <= set(STALLED.addresses),
            f"{sorted({flow[2] for flow in on_wire})}",
        )
        ip = letter.ip if letter is not None else "nowhere"
        made = temporaries(stage.home, "tls", ip)
        story.claim("the exemption is a temporary of that address", len(made) == 1, f"{made}")
        story.claim("with reason and end", bool(made and made[0].reason and made[0].until))
        told = why(stage.home, sent.code)
        last = told[0].attempts[-1] if told and told[0].attempts else None
        story.claim(
            "why tells that it was not encrypted", last is not None and not last.tls, f"{last}"
        )
        stage.actors.behave(STALLED.addresses)
        story.say("STARTTLS works again")
        ended = soon(lambda: not temporaries(stage.home, "tls", ip), ENDED_S, 0.5)
        story.within("the exemption is ended by its test", ended, ENDED_S)
        after = sender.send("zoe@all-stall.example")
        story.within("the next message", _arrived(stage, after, ELSEWHERE_S), ELSEWHERE_S)
        _encrypted(stage, story, after, STALLED)


def dane(stage: Stage, story: Story) -> None:
    """All addresses stall, and DANE demands TLS."""
    _never_in_clear(stage, story, DANE, "zoe@dane-tea.example")


def mta_sts(stage: Stage, story: Story) -> None:
    """All addresses stall, and an MTA-STS policy demands TLS."""
    _never_in_clear(stage, story, STS, "zoe@sts-tea.example")


def _never_in_clear(stage: Stage, story: Story, provider: Provider, to: str) -> None:
    with Sender(stage.world.home, stage.port) as sender:
        before = sender.send(to)
        story.within("well: delivered", _arrived(stage, before, ELSEWHERE_S), ELSEWHERE_S)
        _encrypted(stage, story, before, provider)
        visits = stage.actors.visits
        soon(lambda: all(one.end for one in visits(*provider.addresses)), 15)  # none rests
        stage.actors.behave(provider.addresses, STALLS)
        story.say(f"the handshake stalls at all addresses of {provider.group}")
        sent = sender.send(to)

        def tried() -> bool:
            told = why(stage.home, sent.code)
            return bool(told) and len({one.address for one in told[0].attempts}) >= provider.hosts

        story.claim("every address is tried", soon(tried, 40, 0.5) is not None)
        told = why(stage.home, sent.code)
        states = told[0].states() if told else {}
        story.claim("the message waits", states.get(to) == "waiting", f"{states}")
        causes = [one.cause for one in queue(stage.home).causes if one.mx_group == provider.group]
        story.claim(
            "queue says that TLS is what it waits for",
            any("TLS" in cause or "encrypt" in cause for cause in causes),
            f"{causes}",
        )
        made = [one for ip in provider.addresses for one in temporaries(stage.home, "tls", ip)]
        story.claim("no exemption is made", not made, f"{made}")
        stage.actors.behave(provider.addresses)
        story.say("STARTTLS works again")
        mended = soon(lambda: _letter(stage, sent) is not None, MENDED_S + 5)
        story.within("mended: delivered", mended, MENDED_S)
        _encrypted(stage, story, sent, provider)


def _letter(stage: Stage, sent: Sent) -> "Letter | None":
    letters = stage.actors.letters()
    return next((one for one in letters if one.message_id == sent.message_id), None)


def _arrived(stage: Stage, sent: Sent, limit_s: float) -> float | None:
    """Seconds from acceptance to arrival; None: not within the limit and a little."""
    soon(lambda: _letter(stage, sent) is not None, limit_s + 5)
    found = _letter(stage, sent)
    return None if found is None else found.at - sent.at


def _encrypted(stage: Stage, story: Story, sent: Sent, provider: Provider) -> None:
    """Claim that a message was encrypted; for its domain's hosts the wire is asked as well."""
    letter = _letter(stage, sent)
    tls = "" if letter is None else letter.tls
    story.claim("it was encrypted", tls.startswith("TLSv1."), tls or "not delivered, or in clear")
    if provider is STALLED:
        return  # what went there in clear before is on the wire
    words = SECRET.encode()
    shown = [flow for ip in provider.addresses for flow in stage.wire.carried(words, to=ip)]
    story.claim(f"the wire to {provider.group} shows no word of it", not shown, f"{shown}")


REPERTOIRE = Repertoire(
    "S1: STARTTLS stalls", CAST, (one_of_three, all_stall, dane, mta_sts), SETTINGS, has_relay=False
)
