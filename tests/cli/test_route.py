"""``postern route`` as operators and scripts call it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path as File

import pytest
from tests.cli.called import Postern
from tests.cli.conftest import CONFIG

from postern.directory.model import Refused
from postern.directory.store.site import SiteStore
from postern.mail.paths import Path, Sign
from postern.mail.route import Target
from postern.routing.control.deeds import proposal
from postern.routing.control.store import StandingStore
from postern.routing.paths import groups
from postern.routing.paths.census import Met
from postern.routing.paths.groups import Evidence, Standing
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.store.file import PathStore, Written
from postern.routing.routes.route import RouteMatch
from postern.routing.routes.store import RouteDraft, RouteStore
from postern.runtime.clock import SystemClock

# Nobody answers at this resolver's port: what SPF and PTR say can't be told.
EGRESSES = """
[[egress]]
name = "direct"
[[egress]]
name = "us1"
relay = "198.51.100.5:587"
[[resolver]]
name = "home"
servers = ["127.0.0.1:1"]
timeout_s = 0.2
"""
GOOGLE = ("--mx-group", "google", "--via", "us1", "--reason", "25/tcp blocked")


@pytest.fixture
def site(harbour: Postern, folder: File) -> Postern:
    (folder / "postern.toml").write_text(CONFIG + EGRESSES)
    store = PathStore.open(folder / "data", "w")
    now = SystemClock().now()
    target = (Target("mx1.provider.example", "192.0.2.1", 25),)
    met = [Met("google", "direct", f"tea{n}.example", target, now) for n in range(5)]
    store.write(Written(met=met))
    store.close()
    return harbour


def test_a_route_shows_what_it_touches_and_how_to_undo_it(site: Postern) -> None:
    said = site("route", "add", *GOOGLE, "--for", "14d")
    assert said.code == 0, said.err
    first, *doubts, made, undo = said.out.splitlines()
    assert first == (
        "google: 5 domains known, such as tea0.example, tea1.example, tea2.example;"
        " 0 waiting messages."
    )
    assert any('tls = "verify"' in doubt for doubt in doubts)
    assert any("SPF of harbour.example couldn't be told" in doubt for doubt in doubts)
    assert made.startswith("Made R1 until ")
    assert made.endswith("mail for google leaves through us1 first.")
    assert undo.endswith("undo: postern route end R1")
    table = site("route", "list").out.splitlines()
    assert table[0].split() == ["ID", "FOR", "VIA", "UNTIL", "MADE", "BY", "REASON"]
    assert table[1].split()[:3] == ["R1", "google", "us1"]
    assert table[-1] == "All other groups: relays are engaged automatically ([paths] relay)."
    assert site("route", "end", "R1").out == "Ended R1: mail for google leaves through us1 first.\n"
    assert site("route", "end", "R1").code == 4


def test_a_dry_run_changes_nothing(site: Postern) -> None:
    said = site("route", "add", *GOOGLE, "--dry-run")
    assert said.code == 0
    assert said.out.startswith("google: 5 domains")
    assert site("route", "list", "--json").rows("routes") == []


@pytest.mark.parametrize(
    "words",
    [
        ("--via", "us1", "--reason", "x"),
        ("--via", "us1", "--reason", "x", "--mx-group", " "),
        ("--via", "us1", "--reason", "x", "--mx-group", "google", "--domain", "tea.example"),
        ("--via", "us1", "--reason", " ", "--mx-group", "google"),
        ("--via", "gone", "--reason", "x", "--mx-group", "google"),
        ("--via", "us1", "--reason", "x", "--domain", "a..b"),
    ],
    ids=["no-match", "empty-match", "two-matches", "no-reason", "no-egress", "no-domain"],
)
def test_what_is_not_meant_so_is_refused(site: Postern, words: tuple[str, ...]) -> None:
    said = site("route", "add", *words)
    assert (said.code, said.out) == (64, "")
    assert site("route", "list", "--json").rows("routes") == []


def test_a_group_that_nobody_knows_is_a_slip_unless_said_otherwise(site: Postern) -> None:
    words = ("--mx-group", "gogle.example", "--via", "us1", "--reason", "x")
    said = site("route", "add", *words)
    assert said.code == 4
    assert "'gogle.example'; groups: google" in said.err
    assert site("route", "add", *words, "--anyway").code == 0


@pytest.mark.parametrize("group", ["gateway:mail.tea.example:25", "relay:us1", "[192.0.2.1]"])
def test_what_takes_no_route_gets_none(site: Postern, group: str) -> None:
    words = ("--mx-group", group, "--via", "us1", "--reason", "x", "--anyway")
    said = site("route", "add", *words)
    assert said.code == 2
    assert f"{group} takes no route" in said.err
    assert site("route", "policy", group, "never").code == 2
    assert site("route", "list", "--json").rows("routes") == []


def test_where_a_relay_takes_all_mail_a_route_is_said_to_change_nothing(
    site: Postern, folder: File
) -> None:
    with (folder / "postern.toml").open("a") as config:
        config.write('[delivery]\negress = "us1"\n')
    said = site("route", "add", *GOOGLE[:2], "--via", "direct", "--reason", "x")
    assert "! all mail leaves through us1" in said.out


def test_our_own_domains_take_no_relay(site: Postern) -> None:
    said = site("route", "add", "--domain", "harbour.example", "--via", "us1", "--reason", "x")
    assert said.code == 2
    assert "one of our own" in said.err


def test_a_route_is_an_exception_among_others(site: Postern) -> None:
    site("route", "add", "--domain", "tea.example", "--via", "us1", "--reason", "ticket 1")
    (line,) = site("temporary", "list", "--json").rows("temporaries")
    assert (line["id"], line["kind"], line["reason"]) == ("R1", "route", "ticket 1")
    assert line["what"] == "mail for @tea.example through us1"
    assert line["undo"] == "postern route end R1"


def test_of_a_route_that_postern_made_the_tests_say_whether_it_is_needed(
    site: Postern, folder: File
) -> None:
    with closing(SiteStore.open(folder / "data", SystemClock(), "postern")) as opened:
        routes = RouteStore(opened.database, SystemClock(), "postern")
        draft = RouteDraft(RouteMatch.GROUP, "google", "us1", "blocked", 3600.0, is_automatic=True)
        made = routes.engage(draft, 0.0)
        assert not isinstance(made, Refused)
    now = SystemClock().now()
    dead = Evidence(5, 3, 5, now, ("192.0.2.1",))
    relayed = groups.engaged(Standing("google"), made[0].id, "us1", dead, now)
    store = StandingStore(folder / "data" / "paths.db")
    written = store.swap(Standing("google"), relayed)
    assert written is not None
    (line,) = site("temporary", "list", "--json").rows("temporaries")
    assert line["tested"] == "yes: 0 of 3 good tests"
    store.swap(written, replace(written, state=groups.GroupState.PROBING, canaries=1))
    store.close()
    assert "perhaps not: 1 of 3 messages went direct" in site("temporary", "list").out


def test_json_has_its_keys(site: Postern) -> None:
    said = site("route", "add", *GOOGLE, "--json")
    made = said.json("route")
    assert (made["id"], made["match"], made["value"], made["via"], made["automatic"]) == (
        "R1", "mx-group", "google", "us1", False,
    )  # fmt: skip
    assert (made["state"], made["reason"]) == ("active", "25/tcp blocked")
    touches = said.json("touches")
    assert (touches["domains"], touches["waiting"]) == (5, 0)
    again = site("route", "add", *GOOGLE, "--json")
    assert again.json("route")["id"] == "R2"
    assert "R1" in again.err


def test_a_policy_is_set_and_unset(site: Postern) -> None:
    assert site("route", "policy", "google", "never").out == "google: relays are never engaged.\n"
    listed = site("route", "list", "--json")
    (policy,) = listed.rows("policies")
    assert (policy["mx_group"], policy["policy"]) == ("google", "never")
    assert listed.whole["default_policy"] == "automatic"
    assert site("route", "policy", "google", "default").code == 0
    assert site("route", "list", "--json").rows("policies") == []
    assert site("route", "policy", "google", "sometimes").code == 64
    slip = site("route", "policy", "gogle", "never")
    assert slip.code == 0
    assert "no mail has gone to an MX group named 'gogle' yet" in slip.err
    assert site("route", "policy", "google", "never").err == ""


def test_paths_show_the_route_and_what_is_proposed(site: Postern, folder: File) -> None:
    site("route", "add", *GOOGLE)
    (line,) = site("paths", "google", "--json").rows("groups")
    assert str(line["route"]).startswith("route R1 via us1, until ")
    site("route", "end", "R1")
    store = StandingStore(folder / "data" / "paths.db")
    dead = Evidence(5, 3, 5, SystemClock().now(), ("192.0.2.1",))
    blocked = groups.degraded(Standing("google"), dead, SystemClock().now(), is_proposed=True)
    store.swap(Standing("google"), blocked)
    store.close()
    text = site("paths", "google").out
    assert "blocked: 3 of 5 MX addresses do not answer since " in text
    assert "postern route add --mx-group google --via us1" in text
    (line,) = site("paths", "google", "--json").rows("groups")
    assert line["route"] is None, "none is there yet"
    assert str(line["note"]).startswith("blocked: 3 of 5")


def test_a_command_to_paste_does_nothing_else_whatever_a_stranger_calls_his_mail_host(
    site: Postern,
) -> None:
    evil = "x|reboot&.example"
    at = proposal(evil, "us1").split()
    assert at[at.index("--mx-group") + 1] == f"'{evil}'"
    said = site("queue", "suspend", "--group", evil, "--reason", "looks odd")
    assert f"--group '{evil}'" in said.out
    (line,) = site("temporary", "list", "--json").rows("temporaries")
    assert str(line["undo"]).endswith(f" '{evil}'")


def test_a_route_stands_beside_its_group_and_one_of_a_domain_with_its_name(site: Postern) -> None:
    site("route", "add", "--domain", "tea1.example", "--via", "us1", "--reason", "ticket 1")
    head = site("paths", "--bad").out.splitlines()[1]
    assert head.startswith("google  5 domains")
    assert "for @tea1.example route R1 via us1, until " in head
    (line,) = site("paths", "--bad", "--json").rows("groups")
    assert line["route"] is None, "all other mail goes direct"
    site("route", "add", *GOOGLE)
    head = site("paths", "--bad").out.splitlines()[1]
    assert head.index("route R2 via us1, until ") < head.index("; for @tea1.example route R1")


def test_a_blocked_group_whose_mail_a_relay_takes_is_no_problem_while_that_is_well(
    site: Postern, folder: File
) -> None:
    store = PathStore.open(folder / "data", "w")

    def block(group: str, egress: str, ip: str, port: int) -> None:
        now = SystemClock().now()
        path = Path(egress, ip, port, encrypted=True)
        state = PathState(
            path, group, "mx", PathCondition.BLOCKED, now, Sign.SILENT, "", None, 2, 0.0,
            0, now, now, now,
        )  # fmt: skip
        store.write(Written([state]))

    block("google", "direct", "192.0.2.1", 25)
    assert site("paths", "google").code == 2
    site("route", "add", *GOOGLE)
    assert site("paths", "google").code == 1
    block("relay:us1", "us1", "198.51.100.5", 587)
    assert site("paths", "google").code == 2
    store.close()
