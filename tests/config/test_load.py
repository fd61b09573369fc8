from ipaddress import ip_network
from pathlib import Path

import pytest

from postern.config.load import check, find, load
from postern.config.problems import ConfigError, Problem, Severity
from postern.config.settings import Config

WHOLE = """\
hostname = "mx.host.example"
data_dir = "data"
stop_grace_s = 10
database = "sqlite"
workers  = 0

[[listener]]
kind = "mx"
bind = "0.0.0.0:25"
proxy_protocol = ["127.0.0.0/8"]
relay_from = ["192.0.2.0/24", "2001:db8::/32"]

[[listener]]
kind = "submission"
bind = "unix:run/submit.sock"

[[certificate]]
cert = "tls/fullchain.pem"
key  = "tls/key.pem"

[[resolver]]
name = "home"
servers = ["127.0.0.1:53"]
[[resolver]]
name = "abroad"
servers = ["198.51.100.53:53"]
transport = "tls"

[[egress]]
name = "direct"
[[egress]]
name = "us1"
relay = "us1.host.example:587"
username = "cn1"
password_file = "secrets/us1"

[delivery]
port = 25
connect_timeout_s = 20
session_budget_s = 300
slots = 200
group_share = 0.25

[[blocklist]]
zone = "bl.example"

[scanner.clamd]
socket = "/run/clamav/clamd.ctl"
[console]
bind = "127.0.0.1:8025"
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTERN_CONFIG", raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "postern.toml"
    path.write_text(text, encoding="utf-8")
    return path


def whole(folder: Path) -> Config:
    for name in ("tls/fullchain.pem", "tls/key.pem", "secrets/us1"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("hunter2\n")
        path.chmod(0o600)
    return load(write(folder, WHOLE))


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    return check(write(folder, text)).problems


def only_problem(folder: Path, text: str) -> Problem:
    found = problems(folder, text)
    assert len(found) == 1, found
    return found[0]


def test_design_example_is_read_whole(tmp_path: Path) -> None:
    config = whole(tmp_path)
    assert config.hostname == "mx.host.example"
    assert config.listeners[0].relay_from[0] == ip_network("192.0.2.0/24")
    assert config.resolvers[1].transport == "tls"
    assert config.egresses[1].relay == "us1.host.example:587"
    assert config.scanners["clamd"].socket == "/run/clamav/clamd.ctl"
    assert config.blocklists[0].zone == "bl.example"
    assert config.delivery.group_share == 0.25


def test_paths_start_at_the_file_and_sockets_at_the_data(tmp_path: Path) -> None:
    config = whole(tmp_path)
    assert config.data_dir == tmp_path / "data"
    assert config.run_dir == tmp_path / "data" / "run"
    assert config.certificates[0].key == tmp_path / "tls" / "key.pem"
    assert config.listeners[1].bind.path == tmp_path / "data" / "run" / "submit.sock"
    assert config.source == tmp_path / "postern.toml"


def test_password_is_read_only_when_asked_for_and_never_shown(tmp_path: Path) -> None:
    config = whole(tmp_path)
    assert config.egresses[1].read_password() == "hunter2"
    assert "hunter2" not in repr(config)


def test_empty_file_is_all_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, ""))
    assert config.limits.max_message_bytes == 50 * 1024 * 1024
    assert config.limits.max_recipients == 1000
    assert config.limits.connections == 10000
    assert config.limits.connections_per_address == 50
    assert config.queue.first_retry_s == 300
    assert config.queue.max_retry_s == 14400
    assert config.queue.expire_s == 432000
    assert config.journal.keep_days == 30
    assert config.journal.transcript_days == 7
    assert str(config.console.bind) == "127.0.0.1:8025"
    assert config.hostname
    assert config.submission.accept_bare_newlines is False


def test_several_mistakes_are_told_at_once_with_line_and_key(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        'hostnam = "x"\nworkers = "two"\n[[listener]]\nkind = "mxx"\nbind = "0.0.0.0"\n'
        "[delivery]\nslots = 0\n",
    )
    places = {
        ".".join(map(str, p.key)): (p.position.line, p.position.column) if p.position else None
        for p in found
    }
    assert places == {
        "hostnam": (1, 1),
        "workers": (2, 1),
        "listener.0.kind": (4, 1),
        "listener.0.bind": (5, 1),
        "delivery.slots": (7, 1),
    }


def test_nearest_key_and_nearest_choice_are_offered(tmp_path: Path) -> None:
    assert "did you mean 'hostname'?" in str(only_problem(tmp_path, 'hostnam = "x"'))
    text = '[[listener]]\nkind = "submision"\nbind = "127.0.0.1:0"'
    assert "did you mean 'submission'?" in str(only_problem(tmp_path, text))


def test_key_in_the_wrong_table_is_told_its_home(tmp_path: Path) -> None:
    told = str(only_problem(tmp_path, "[delivery]\nmax_recipients = 100\n"))
    assert "it belongs under [limits]" in told
    told = str(only_problem(tmp_path, "[console]\nstop_grace_s = 100\n"))
    assert "at the top of the file" in told


def test_people_count_listeners_from_one(tmp_path: Path) -> None:
    told = str(only_problem(tmp_path, '[[listener]]\nkind = "mx"\nbind = "nowhere:25"'))
    assert told.startswith(f"{tmp_path / 'postern.toml'}:3:1: error: listener[1].bind: expected")


def test_missing_setting_points_to_its_table_and_says_what_it_is(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, '\n[[resolver]]\nname = "home"')
    assert problem.position is not None
    assert problem.position.line == 2
    assert "'servers' is missing" in problem.text
    assert "ADDRESS:PORT" in problem.fix


def test_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    told = str(only_problem(tmp_path, '[[egress]]\nname = "us1"\npassword = "hunter2"'))
    assert "password_file" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = = 2\n", 2), ("a = 1\n\n[x\n", 3), ('a = "x', 1), ("a = 1\na = 2\n", 2)],
)
def test_broken_toml_names_its_line(tmp_path: Path, text: str, line: int) -> None:
    problem = only_problem(tmp_path, text)
    assert problem.position is not None
    assert problem.position.line == line
    assert "not TOML" in problem.text


def test_file_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "postern.toml"
    path.write_bytes(b'a = 1\nb = "\xff"\n')
    (problem,) = check(path).problems
    assert problem.position is not None
    assert problem.position.line == 2


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", '"5"', "true", "[1]", "1979-05-27"])
def test_time_that_makes_no_sense_is_refused(tmp_path: Path, value: str) -> None:
    assert only_problem(tmp_path, f"stop_grace_s = {value}").key == ("stop_grace_s",)


def test_wrong_shapes_are_mistakes_and_no_crash(tmp_path: Path) -> None:
    found = problems(tmp_path, 'listener = "x"\ndelivery = 1\nscanner = []\nconsole = { bind = 1 }')
    assert {p.key for p in found} == {
        ("listener",),
        ("delivery",),
        ("scanner",),
        ("console", "bind"),
    }


def test_table_where_an_array_of_tables_belongs_shows_the_brackets(tmp_path: Path) -> None:
    assert "[[listener]]" in str(only_problem(tmp_path, '[listener]\nkind = "mx"'))


def test_conf_d_is_joined_in_order(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.toml").write_text("[limits]\nmax_recipients = 200\n")
    (tmp_path / "conf.d" / "10.toml").write_text('[[listener]]\nkind = "mx"\nbind = "127.0.0.1:2"')
    text = '[[listener]]\nkind = "mx"\nbind = "127.0.0.1:1"\n[limits]\nmax_hops = 50\n'
    config = load(write(tmp_path, text))
    assert [listener.bind.port for listener in config.listeners] == [1, 2]
    assert (config.limits.max_recipients, config.limits.max_hops) == (200, 50)


def test_mistake_in_conf_d_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    extra = tmp_path / "conf.d" / "10.toml"
    extra.write_text('\n[[listener]]\nkind = "mx"\nbind = "127.0.0.1"')
    problem = only_problem(tmp_path, '[[listener]]\nkind = "mx"\nbind = "127.0.0.1:1"\n')
    assert problem.file == extra
    assert problem.position is not None
    assert problem.position.line == 4


def test_setting_made_twice_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.toml").write_text("workers = 2\n")
    told = str(only_problem(tmp_path, "\nworkers = 1\n"))
    assert f"set already in {tmp_path / 'postern.toml'}:2" in told
    assert told.startswith(f"{tmp_path / 'conf.d' / '10.toml'}:1:1")


def test_file_is_found_in_the_environment_before_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "")
    assert find(None) == tmp_path / "postern.toml"
    monkeypatch.setenv("POSTERN_CONFIG", "/elsewhere/p.toml")
    assert find(None) == Path("/elsewhere/p.toml")
    assert find(Path("named.toml")) == tmp_path / "named.toml"


def test_named_file_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_no_file_anywhere_tells_where_was_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("postern.config.load.SYSTEM_FILE", tmp_path / "etc" / "postern.toml")
    with pytest.raises(ConfigError, match="no configuration; looked at"):
        load()


def test_warnings_do_not_stop_the_server(tmp_path: Path) -> None:
    checked = check(write(tmp_path, 'hostname = "mx"'))
    assert checked.config is not None
    assert {p.severity for p in checked.problems} == {Severity.WARNING}
