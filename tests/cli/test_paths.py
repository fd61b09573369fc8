"""``postern paths``, from a file that a worker wrote; no server runs."""

import json
import time
from dataclasses import replace
from pathlib import Path as File

import pytest

from postern.cli import paths as paths_module
from postern.cli.root import postern_main
from postern.mail.paths import Path, Sign
from postern.mail.route import Target
from postern.routing.paths.census import Met
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.overview import STRAIGHT, Course
from postern.routing.paths.store.file import Claim, PathStore, Written
from postern.routing.paths.store.schema import FILE_NAME
from postern.runtime.processes import GroupStatus, WorkerStatus, status_path, write_status

NINE = "2026-05-20 09:02"
HOSTS = {"192.0.2.26": "gmx1.provider.example", "192.0.2.27": "alt1.provider.example"}


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


NOW = at("2026-05-20 14:00")


class Clock:
    def now(self) -> float:
        return NOW


@pytest.fixture(autouse=True)
def site(tmp_path: File, monkeypatch: pytest.MonkeyPatch) -> File:
    config = tmp_path / "postern.toml"
    config.write_text('hostname = "mx.host.example"\n')
    monkeypatch.setenv("POSTERN_CONFIG", str(config))
    monkeypatch.setattr(paths_module, "SystemClock", Clock)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def state(
    ip: str,
    condition: PathCondition,
    sign: Sign,
    since: float,
    *,
    group: str = "google",
    egress: str = "direct",
    error: str = "did not answer",
    good: int = 0,
    encrypted: bool = True,
    last_good_at: float | None = None,
) -> PathState:
    path = Path(egress, ip, 25, encrypted)
    return PathState(
        path, group, HOSTS.get(ip, ""), condition, since, sign, error, last_good_at, 2, 0.0,
        good, NOW - 60, NOW - 60, NOW - 60,
    )  # fmt: skip


def met(group: str, *domains: str, ips: dict[str, str], egress: str = "direct") -> list[Met]:
    targets = tuple(Target(host, ip, 25) for ip, host in ips.items())
    return [Met(group, egress, domain, targets, NOW - 100) for domain in domains]


@pytest.fixture
def google(site: File) -> None:
    """Two of three addresses of google are silent from here; one other group is well."""
    hosts = {**HOSTS, "198.51.100.27": "alt3.provider.example"}
    domains = [f"tea{number}.example" for number in range(38)]
    silent = [
        state(ip, PathCondition.BLOCKED, Sign.SILENT, at(NINE), last_good_at=at(NINE) - 60)
        for ip in HOSTS
    ]
    everything = met("google", *domains, ips=hosts)
    everything += met("google", "", ips=hosts, egress="second")
    everything += met("well.example", "well.example", ips={"198.51.100.9": "mx.well.example"})
    store = PathStore.open(site, "test")
    store.write(Written(silent, everything))
    store.claim([Claim({silent[0].path: NOW + 300}, NOW)])
    store.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = postern_main(["paths", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.usefixtures("google")
def test_bad_groups_are_shown_with_what_each_egress_sees(
    capsys: pytest.CaptureFixture[str], site: File
) -> None:
    store = PathStore.open(site, "test")
    store.write(Written([
        state("192.0.2.26", PathCondition.PROBING, Sign.ANSWERED, NOW - 60, egress="second", good=1)
    ]))  # fmt: skip
    store.close()
    code, out = run(capsys, "--bad")
    assert out == (
        "GROUP / MX (order tried)   address     direct   second  since\n"
        "google  38 domains         1/3 down                     09:02\n"
        "  1 gmx1.provider.example  192.0.2.26  no ans.  ok 1/3  09:02\n"
        "  2 alt1.provider.example  192.0.2.27  no ans.  ok      09:02\n"
        "\n"
        "To google: last good 09:01; next test 14:05; tested at least every 30 min;"
        " 1 of the 3 good tests needed.\n"
    )
    assert code == 1


@pytest.mark.usefixtures("google")
def test_what_holds_a_groups_mail_is_told_as_well(
    capsys: pytest.CaptureFixture[str], site: File
) -> None:
    held = GroupStatus("google", "suspended", NOW - 60, None, "ticket 812", "Q1")
    (site / "run").mkdir()
    write_status(status_path(site / "run", 0), WorkerStatus(1, 0, 0.0, NOW, groups=(held,)))
    assert run(capsys, "--bad")[1].endswith(
        "google: suspended until it is resumed (Q1): ticket 812\n"
    )
    assert [group["queue"] for group in json.loads(run(capsys, "--json")[1])["groups"]] == [
        "suspended",
        None,
    ]


@pytest.mark.usefixtures("google")
def test_all_groups_are_shown_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys)
    lines = out.splitlines()
    assert lines[1].startswith("google  38 domains")
    assert "alt3.provider.example" in out
    assert lines[5].split() == ["well.example", "1", "domain", "healthy", "-"]
    assert lines[6].split() == ["1", "mx.well.example", "198.51.100.9", "ok", "-"]
    assert code == 1


@pytest.mark.usefixtures("google")
def test_a_group_is_found_by_its_name_and_by_a_domain_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, "google") == run(capsys, "tea7.example")
    code, out = run(capsys, "well.example", "--bad")
    assert (code, out) == (0, "Every path is healthy.\n")
    assert run(capsys, "unheard-of.example")[0] == 4


def test_a_group_none_of_whose_addresses_is_reached_ends_with_2(
    capsys: pytest.CaptureFixture[str], site: File
) -> None:
    blocked = [
        state("192.0.2.26", PathCondition.BLOCKED, Sign.SILENT, at(NINE)),
        state("192.0.2.27", PathCondition.BLOCKED, Sign.REFUSED, at(NINE) + 600),
    ]
    store = PathStore.open(site, "test")
    store.write(Written(blocked, met("google", "tea.example", ips=HOSTS)))
    store.close()
    code, out = run(capsys)
    assert code == 2
    assert out.splitlines()[1].split() == ["google", "1", "domain", "2/2", "down", "09:12"]
    shown = json.loads(run(capsys, "--json")[1])
    assert shown["groups"][0]["state"] == "blocked"


@pytest.mark.usefixtures("google")
def test_json_has_the_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--json", "--bad")
    shown = json.loads(out)
    assert (code, shown["schema"]) == (1, 1)
    (group,) = shown["groups"]
    assert {key: group[key] for key in ("mx_group", "domains", "state", "route")} == {
        "mx_group": "google",
        "domains": 38,
        "state": "degraded",
        "route": None,
    }
    first = next(a for a in group["addresses"] if a["egress"] == "direct")
    assert first["mx"] == "gmx1.provider.example"
    assert first["address"] == "192.0.2.26"
    assert first["state"] == "blocked"
    assert first["tls"] == "encrypted"
    assert first["last_error"] == "did not answer"
    assert first["since"] == group["since"]
    assert first["sign"] == "no-answer"
    assert first["next_test_at"] is not None


@pytest.mark.usefixtures("google")
def test_a_route_stands_beside_its_group(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def course_of(group: str) -> Course:
        text = "relay route R1 via us1, until 5 Jun"
        return Course(text) if group == "google" else STRAIGHT

    monkeypatch.setattr(paths_module, "courses", lambda _: course_of)
    _, out = run(capsys, "--bad")
    assert out.splitlines()[1] == (
        "google  38 domains         2/3 degraded  relay route R1 via us1, until 5 Jun"
    )
    shown = json.loads(run(capsys, "--json")[1])
    assert shown["groups"][0]["route"] == "relay route R1 via us1, until 5 Jun"


@pytest.mark.usefixtures("google")
def test_what_is_said_of_a_blocked_group_is_no_route(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "blocked: 2 of 2 MX addresses do not answer since 09:02"
    course = Course(None, words, PathCondition.BLOCKED, (), at(NINE))
    monkeypatch.setattr(paths_module, "courses", lambda _: lambda _: course)
    code, out = run(capsys, "google")
    assert code == 2
    assert f"down {words}" in " ".join(out.split())
    (group,) = json.loads(run(capsys, "google", "--json")[1])["groups"]
    assert (group["route"], group["note"], group["state"]) == (None, words, "blocked")


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("decided", "failing", "state", "summary"),
    [
        (PathCondition.BLOCKED, tuple(HOSTS), "blocked", "2/3 down"),
        (PathCondition.BLOCKED, ("192.0.2.26", "198.51.100.27"), "probing", "answers again"),
        (PathCondition.PROBING, tuple(HOSTS), "probing", "answers again"),
    ],
)
def test_a_group_is_what_its_route_says_it_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    decided: PathCondition,
    failing: tuple[str, ...],
    state: str,
    summary: str,
) -> None:
    course = Course("relay route R1 via us1", None, decided, failing, at(NINE))
    monkeypatch.setattr(paths_module, "courses", lambda _: lambda _: course)
    assert f"{summary} relay route R1" in " ".join(run(capsys, "google")[1].split())
    (group,) = json.loads(run(capsys, "google", "--json")[1])["groups"]
    assert (group["state"], group["note"]) == (state, None)


def test_an_address_that_another_group_has_too_is_bad_in_both(
    capsys: pytest.CaptureFixture[str], site: File
) -> None:
    store = PathStore.open(site, "test")
    blocked = state("192.0.2.26", PathCondition.BLOCKED, Sign.SILENT, at(NINE))
    both = met("google", "tea.example", ips=HOSTS)
    both += met("own.example", "own.example", ips={"192.0.2.26": "mx.own.example"})
    store.write(Written([blocked], both))
    store.close()
    code, out = run(capsys, "--bad")
    assert code == 2
    assert [line.split()[0] for line in out.splitlines() if line and line[0].islower()] == [
        "own.example",
        "google",
    ]
    assert "mx.own.example" in out


def test_before_any_mail_there_is_nothing_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == (0, "No mail went out yet.\n")
    assert run(capsys, "--json") == (0, '{"schema": 1, "groups": []}\n')
    assert run(capsys, "google")[0] == 4


def test_a_file_that_cannot_be_read_is_told_as_that(
    capsys: pytest.CaptureFixture[str], site: File
) -> None:
    (site / FILE_NAME).mkdir()
    assert postern_main(["paths"]) == 3
    assert FILE_NAME in capsys.readouterr().err


def test_what_time_has_healed_is_not_shown(capsys: pytest.CaptureFixture[str], site: File) -> None:
    old = state("192.0.2.26", PathCondition.DEGRADED, Sign.BUSY, at(NINE))
    store = PathStore.open(site, "test")
    store.write(Written([replace(old, seen_at=NOW - 3600)]))
    store.close()
    assert run(capsys, "--bad") == (0, "Every path is healthy.\n")
