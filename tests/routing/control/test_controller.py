"""A relay is engaged on evidence, for that group, once for all workers; and taken back on proof."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.routing.control.rig import (
    ANSWERED,
    DAY_S,
    DELIVERED,
    FAILED,
    KNOBS,
    MX,
    RELAYED,
    Rig,
    tried,
)

from postern.directory.model import Refused
from postern.mail.outcome import Cause
from postern.mail.paths import GroupMood, Sign
from postern.mail.route import Egress, SmtpRoute, Target
from postern.routing.control.controller import AGAIN_S
from postern.routing.paths.groups import CANARY_S, FORGET_S, GroupState
from postern.routing.relays import Relays
from postern.routing.routes import store as route_store
from postern.routing.routes.route import BY_POSTERN, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.store import RouteDraft
from postern.routing.settings import EgressSettings, HostPort
from postern.runtime.clock import FakeClock

Hire = Callable[..., Rig]
OPEN, SHUT = ("google", GroupMood.OPEN), ("google", GroupMood.SHUT)
PIN = RouteDraft(RouteMatch.GROUP, "google", "us1", "25/tcp blocked", 14 * DAY_S)


@pytest.fixture
async def hire(tmp_path: Path) -> AsyncIterator[Hire]:
    """Makes workers of one site."""
    clock, rigs = FakeClock(), []

    def one(policy: Policy = Policy.AUTOMATIC, *, has_relay: bool = True) -> Rig:
        rigs.append(Rig(tmp_path, clock, policy, has_relay=has_relay))
        return rigs[-1]

    yield one
    for rig in rigs:
        await rig.close()


@pytest.fixture
def rig(hire: Hire) -> Rig:
    return hire()


async def relayed(rig: Rig) -> PinnedRoute:
    await rig.block()
    (route,) = rig.active()
    return route


def lose_paths(folder: Path) -> None:
    for file in folder.glob("paths.db*"):
        file.unlink()


async def probing(rig: Rig) -> None:
    await relayed(rig)
    await rig.test_directly("+++")
    assert rig.stands() is GroupState.PROBING


async def test_a_blocked_group_gets_a_route_with_the_evidence_in_words(rig: Rig) -> None:
    route = await relayed(rig)
    assert (route.match, route.value, route.via, route.is_automatic) == (
        RouteMatch.GROUP, "google", "us1", True,
    )  # fmt: skip
    assert route.temporary.author == BY_POSTERN
    assert route.temporary.reason.startswith(
        "google is blocked: 5 of 5 MX addresses refuse the connection since "
    )
    assert route.until == pytest.approx(rig.clock.now() + 14 * DAY_S, abs=1)
    assert rig.stands() is GroupState.RELAYED
    assert rig.table.of("google", "unknown.example") == route, "it holds at once"
    assert rig.news.told == [OPEN]
    (record,) = rig.journal
    assert (record.action, record.author, record.subject) == ("route.engaged", "postern", "google")
    assert "R1 via us1: google is blocked: 5 of 5" in record.detail


async def test_silence_at_two_addresses_and_a_relay_that_answered_is_enough(rig: Rig) -> None:
    rig.see(MX[0], Sign.SILENT, is_final=False)
    rig.clock.advance(3)
    rig.see(MX[1], Sign.SILENT, is_final=False)
    await rig.controller.settle()
    assert rig.active() == []
    await rig.end(tried("direct", "deferred", Cause.SILENT), RELAYED)
    assert rig.stands() is GroupState.RELAYED
    assert "2 of 5 MX addresses do not answer" in rig.active()[0].temporary.reason


async def test_a_group_of_which_one_address_answers_is_not_blocked(rig: Rig) -> None:
    for _ in range(5):
        await rig.block(MX[:3])
        rig.see(MX[3], Sign.ANSWERED)
        await rig.look()
        rig.clock.advance(10)
        await rig.look()
    assert rig.active() == []
    assert rig.stands() is GroupState.DIRECT


async def test_servers_that_are_connected_and_greet_late_are_no_blocked_group(rig: Rig) -> None:
    for _ in range(3):
        for ip in MX:
            rig.see(ip, Sign.MUTE, is_final=False)
        rig.clock.advance(4)
        await rig.look()
    assert rig.active() == []
    for ip in MX:
        rig.see(ip, Sign.MUTE)  # they never did
    await rig.look()
    assert "5 of 5 MX addresses do not greet" in rig.active()[0].temporary.reason


async def test_a_worker_that_only_heard_of_the_bad_addresses_does_not_judge_the_group(
    rig: Rig,
) -> None:
    for _ in range(5):
        for ip in ("203.0.113.77", "203.0.113.78"):
            rig.see(ip, Sign.REFUSED, group="heard.example")
        rig.clock.advance(10.0)
    await rig.look()
    assert rig.table.of_group("heard.example") is None
    assert rig.standings.of("heard.example") is None


async def test_addresses_that_were_not_asked_yet_are_waited_for(rig: Rig) -> None:
    await rig.block(MX[:3])
    assert rig.active() == []
    rig.clock.advance(4)
    await rig.look()
    assert "3 of 5" in rig.active()[0].temporary.reason


@pytest.mark.parametrize("sign", [Sign.BUSY, Sign.UNWELCOME, Sign.THROTTLED, Sign.UNTRUSTED])
async def test_what_a_server_says_engages_nothing(rig: Rig, sign: Sign) -> None:
    for _ in range(5):
        await rig.block(sign=sign)
    assert rig.active() == []


async def test_many_workers_that_see_it_at_once_make_one_route_and_one_record(hire: Hire) -> None:
    rigs = [hire() for _ in range(4)]
    for ip in MX:
        for rig in rigs:
            rig.see(ip, Sign.REFUSED)
    for rig in rigs:
        await rig.controller.settle()
    assert len(rigs[0].active()) == 1
    assert [action for rig in rigs for action in rig.actions()] == ["route.engaged"]
    for rig in rigs:
        await rig.look()
        assert rig.stands() is GroupState.RELAYED
        assert OPEN in rig.news.told


async def test_another_worker_learns_of_it_and_its_waiting_mail_goes(hire: Hire) -> None:
    one, other = hire(), hire()
    await relayed(one)
    await other.look()
    assert other.stands() is GroupState.RELAYED
    assert other.table.of_group("google") is not None
    assert other.news.told == [OPEN]
    assert other.journal == []


async def test_only_proposing_shows_the_command_and_engages_nothing(hire: Hire) -> None:
    rig = hire(Policy.PROPOSE)
    await rig.block()
    assert rig.active() == []
    standing = rig.standings.of("google")
    assert standing is not None
    assert (standing.state, standing.is_proposed) == (GroupState.DEGRADED, True)
    (record,) = rig.journal
    assert record.action == "route.proposed"
    assert "postern route add --mx-group google --via us1" in record.detail
    assert rig.news.told == [SHUT]
    await rig.block()
    assert len(rig.journal) == 1, "once"


@pytest.mark.parametrize(
    ("policy", "has_relay"), [(Policy.NEVER, True), (Policy.AUTOMATIC, False)],
    ids=["never", "no-relay"],
)  # fmt: skip
async def test_without_leave_or_relay_it_is_put_on_record_until_it_answers(
    hire: Hire, policy: Policy, *, has_relay: bool
) -> None:
    rig = hire(policy, has_relay=has_relay)
    await rig.block()
    assert (rig.stands(), rig.active(), rig.actions()) == (
        GroupState.DEGRADED, [], ["group.blocked"],
    )  # fmt: skip
    rig.see(MX[4], Sign.ANSWERED)
    await rig.controller.settle()
    assert rig.stands() is GroupState.DIRECT
    assert rig.actions() == ["group.blocked", "group.direct"]
    assert rig.news.told == [SHUT, OPEN]


async def test_a_relay_that_is_dead_is_engaged_once_it_is_well(rig: Rig) -> None:
    rig.see_relay(Sign.REFUSED)
    await rig.block()
    assert rig.stands() is GroupState.DEGRADED
    rig.clock.advance(61)
    await rig.look()
    assert rig.stands() is GroupState.RELAYED


async def test_an_address_that_some_mail_alone_leaves_from_blocks_nobody_else(rig: Rig) -> None:
    for ip in MX:
        for _ in range(2):
            rig.clock.advance(1)
            rig.see(ip, Sign.REFUSED, egress="lists")
    rig.clock.advance(10)
    await rig.look()
    assert rig.stands() is GroupState.DIRECT


async def test_a_customers_own_server_takes_no_relay(rig: Rig) -> None:
    hosts = tuple(Target("mx.customer.example", f"192.0.2.{n}", 25) for n in (77, 78))
    rig.census.met(SmtpRoute("gateway:mx.customer.example:25", Egress("direct"), hosts))
    for _ in range(4):
        rig.clock.advance(4)
        rig.see("192.0.2.77", Sign.REFUSED, group="gateway:mx.customer.example:25")
        rig.see("192.0.2.78", Sign.REFUSED, group="gateway:mx.customer.example:25")
        await rig.look()
    assert rig.active() == []
    assert rig.actions() == ["group.blocked"]


async def test_what_a_person_pinned_is_left_to_him(rig: Rig) -> None:
    rig.people.add(PIN)
    rig.reread()
    await rig.block()
    assert [one.is_automatic for one in rig.active()] == [False]
    assert rig.journal == []


async def test_the_relay_is_taken_back_after_good_tests_and_canaries(rig: Rig) -> None:
    await probing(rig)
    assert rig.table.of_group("google") is not None, "the relay still takes the mail"
    for number in range(KNOBS.canaries):
        assert rig.stands() is GroupState.PROBING, number
        assert rig.controller.takes_canary("google")
        assert not rig.controller.takes_canary("google"), "one at a time"
        await rig.end(RELAYED)
        assert not rig.controller.takes_canary("google"), "that was another message"
        await rig.end(DELIVERED if number else ANSWERED)
    assert (rig.stands(), rig.active()) == (GroupState.DIRECT, [])
    assert rig.actions() == ["route.engaged", "route.probing", "route.withdrawn"]
    assert rig.journal[-1].detail == "R1 via us1: 3 messages in a row went direct"
    assert rig.news.told == [OPEN, OPEN]


async def test_a_path_that_fails_every_second_try_stays_relayed(rig: Rig) -> None:
    await relayed(rig)
    await rig.test_directly("+-" * 20)
    assert rig.stands() is GroupState.RELAYED
    assert rig.actions() == ["route.engaged"]


async def test_a_canary_that_the_network_fails_ends_the_trial(rig: Rig) -> None:
    await probing(rig)
    assert rig.controller.takes_canary("google")
    await rig.end(FAILED, RELAYED)
    assert rig.stands() is GroupState.RELAYED
    assert not rig.controller.takes_canary("google")
    assert rig.actions()[-1] == "route.kept"
    assert "tested every 60 min now" in rig.journal[-1].detail


async def test_one_worker_at_a_time_sends_canaries_and_one_that_dies_is_replaced(
    hire: Hire,
) -> None:
    one, other = hire(), hire()
    await probing(one)
    await other.look()
    assert not other.controller.takes_canary("google")
    await other.controller.settle()
    assert not other.controller.takes_canary("google"), "the first has the right"
    one.clock.advance(CANARY_S)
    assert not other.controller.takes_canary("google"), "it is asked for"
    await other.controller.settle()
    assert other.controller.takes_canary("google")
    await one.look()
    assert not one.controller.takes_canary("google"), "its right has run out, and is another's"


async def test_the_direct_path_is_tested_at_its_interval_however_well_it_seems(rig: Rig) -> None:
    await relayed(rig)
    await rig.look()
    assert rig.tested == []
    rig.clock.advance(KNOBS.retest_s)
    await rig.look()
    await rig.look()
    assert rig.tested == ["google"]
    rig.see(MX[0], Sign.ANSWERED, is_probe=True)
    await rig.controller.settle()
    rig.clock.advance(KNOBS.retest_s)
    await rig.look()
    assert rig.tested == ["google", "google"]


# --- a person's hand ------------------------------------------------------------------------------


async def test_what_a_person_withdraws_is_not_engaged_again_until_he_asks(rig: Rig) -> None:
    route = await relayed(rig)
    assert not isinstance(rig.people.end(route.label), Refused)
    assert not rig.controller.may_relay("google"), "from the moment the command has ended"
    await rig.look()
    assert rig.stands() is GroupState.DIRECT
    assert not rig.controller.may_relay("google")
    assert rig.journal[-1].detail == "cli:li ended the route"
    rig.clock.advance(60)
    await rig.block()
    assert rig.active() == []
    rig.people.set_policy("google", Policy.AUTOMATIC)
    await rig.look()
    assert [one.is_automatic for one in rig.active()] == [True]


async def test_what_a_person_withdrew_is_kept_though_the_file_of_paths_is_lost(
    hire: Hire, tmp_path: Path
) -> None:
    one = hire()
    route = await relayed(one)
    one.people.end(route.label)
    await one.look()
    lose_paths(tmp_path)
    other = hire()
    other.clock.advance(60)
    await other.block()
    assert other.active() == []
    assert not other.controller.may_relay("google")
    await other.block()
    assert other.actions() == ["route.proposed"]
    other.people.set_policy("google", Policy.AUTOMATIC)
    await other.look()
    await other.block()
    assert [one.is_automatic for one in other.active()] == [True]


async def test_whoever_asks_at_once_is_heard(rig: Rig) -> None:
    route = await relayed(rig)
    rig.people.end(route.label)
    rig.people.set_policy("google", Policy.AUTOMATIC)
    rig.clock.advance(0.4)
    await rig.look()
    rig.clock.advance(1)
    await rig.block()
    await rig.look()
    assert [one.is_automatic for one in rig.active()] == [True]


async def test_after_a_day_it_may_be_engaged_again(rig: Rig) -> None:
    route = await relayed(rig)
    rig.people.end(route.label)
    await rig.look()
    rig.clock.advance(KNOBS.quiet_s)
    await rig.block()
    assert rig.stands() is GroupState.RELAYED


async def test_forbidding_takes_the_relay_back(rig: Rig) -> None:
    await relayed(rig)
    rig.people.set_policy("google", Policy.NEVER)
    await rig.look()
    assert (rig.stands(), rig.active()) == (GroupState.DIRECT, [])
    await rig.block()
    assert rig.active() == []


async def test_forbidding_relays_in_the_configuration_takes_them_back(rig: Rig) -> None:
    await relayed(rig)
    rig.table.default = Policy.NEVER
    await rig.look()
    assert (rig.stands(), rig.active()) == (GroupState.DIRECT, [])
    assert rig.journal[-1].detail == "R1 via us1: [paths] relay says never"


async def test_mail_that_waits_goes_as_soon_as_a_person_has_made_a_route(rig: Rig) -> None:
    await rig.look()
    rig.people.add(PIN)
    await rig.look()
    assert rig.news.told == [OPEN]
    rig.people.add(RouteDraft(RouteMatch.DOMAIN, "tea.example", "us1", "why"))
    await rig.look()
    assert rig.news.told == [OPEN, OPEN], "the domain's group"


async def test_a_route_whose_time_is_over_is_made_anew_while_nothing_answers(rig: Rig) -> None:
    await relayed(rig)
    rig.clock.advance(14 * DAY_S)
    await rig.look()
    assert rig.stands() is GroupState.DIRECT
    assert rig.controller.may_relay("google")
    await rig.block()
    assert rig.stands() is GroupState.RELAYED


# --- kills ----------------------------------------------------------------------------------------


async def test_a_restart_keeps_how_groups_stand(hire: Hire) -> None:
    await probing(hire())
    later = hire()
    assert later.stands() is GroupState.PROBING
    await later.look()
    assert later.news.told == [OPEN], "what was being drained goes on"


async def test_a_route_whose_maker_was_killed_is_taken_up(rig: Rig) -> None:
    draft = RouteDraft(RouteMatch.GROUP, "google", "us1", "blocked", DAY_S, is_automatic=True)
    rig.routes.engage(draft, DAY_S)
    await rig.look()
    assert rig.stands() is GroupState.DIRECT, "its maker may be about to note it"
    rig.clock.advance(10)
    await rig.look()
    assert rig.stands() is GroupState.RELAYED
    await rig.test_directly("+++")
    assert rig.stands() is GroupState.PROBING


async def test_a_route_that_another_worker_has_just_seen_end_is_not_taken_up(rig: Rig) -> None:
    route = await relayed(rig)
    rig.clock.advance(60)
    rig.people.end(route.label)
    await rig.look()
    told = list(rig.journal)
    await rig.deeds.adopt(route)  # as a worker does whose routes are older than how groups stand
    assert rig.stands() is GroupState.DIRECT
    assert rig.journal == told


async def test_a_withdrawal_that_was_cut_short_is_finished(rig: Rig) -> None:
    route = await relayed(rig)
    rig.routes.end(route.label)
    await rig.look()
    assert rig.stands() is GroupState.DIRECT
    assert rig.controller.may_relay("google"), "nobody forbade it"


# --- relays ---------------------------------------------------------------------------------------


async def test_a_relay_that_is_gone_from_the_configuration_is_taken_back(rig: Rig) -> None:
    await relayed(rig)
    nothing = Relays((), None, rig.clock, lambda _ip, _port: False, want_ipv6=False)
    rig.controller.serve(nothing, ("direct",), KNOBS)
    await rig.look()
    assert (rig.stands(), rig.active()) == (GroupState.DIRECT, [])
    assert rig.journal[-1].detail == "R1 via us1: the configuration has no relay us1 any more"
    assert rig.news.told[-1] == OPEN


async def test_a_dead_group_that_is_forgotten_is_not_held_back_for_ever(rig: Rig) -> None:
    rig.table.default = Policy.NEVER
    await rig.block()
    assert rig.news.told == [SHUT]
    rig.clock.advance(FORGET_S)
    await rig.look()
    assert rig.standings.of("google") is None
    assert rig.news.told == [SHUT, OPEN]


async def test_a_relay_that_locks_us_out_is_an_alarm_once(rig: Rig) -> None:
    for _ in range(3):
        rig.see_relay(Sign.LOCKED_OUT, "535 5.7.8 authentication failed")
    (record,) = rig.journal
    assert (record.action, record.subject) == ("relay.locked-out", "us1")
    assert "535" in record.detail


async def test_a_relayed_group_waits_while_its_relay_is_dead(rig: Rig) -> None:
    await relayed(rig)
    for _ in range(2):
        rig.clock.advance(1)
        rig.see_relay(Sign.REFUSED)
    assert rig.news.told == [OPEN, SHUT]
    for _ in range(3):
        rig.clock.advance(1)
        rig.see_relay(Sign.ANSWERED)
    assert rig.news.told == [OPEN, SHUT, OPEN]


async def test_where_no_route_can_be_made_that_is_not_asked_at_every_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route_store, "MAX_ROUTES", 0)
    made: list[RouteDraft] = []
    engage = rig.routes.engage

    def counted(draft: RouteDraft, quiet_s: float) -> tuple[PinnedRoute, bool] | Refused:
        made.append(draft)
        return engage(draft, quiet_s)

    monkeypatch.setattr(rig.routes, "engage", counted)
    for _ in range(10):
        await rig.block()
        await rig.look()
    assert len(made) == 1
    assert rig.stands() is GroupState.DEGRADED, "it is on record"
    rig.clock.advance(AGAIN_S)
    await rig.look()
    assert len(made) == 2
    monkeypatch.undo()
    rig.clock.advance(AGAIN_S)
    await rig.look()
    assert rig.stands() is GroupState.RELAYED


async def test_a_relayed_group_goes_on_while_another_relay_can_stand_in(
    tmp_path: Path,
) -> None:
    more = (EgressSettings("de1", HostPort("198.51.100.6", 587)),)
    rig = Rig(tmp_path, FakeClock(), more_relays=more)
    await relayed(rig)
    for _ in range(2):
        rig.clock.advance(1)
        rig.see_relay(Sign.REFUSED)
    assert rig.news.told == [OPEN]
    rig.people.set_policy("google", Policy.PROPOSE)
    await rig.look()
    assert not rig.controller.has_way("google", "us1"), "nobody gave leave for another"
    await rig.close()
