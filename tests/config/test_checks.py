from pathlib import Path

import pytest

from postern.config.load import check
from postern.config.problems import Problem, Severity

LISTENER = '[[listener]]\nkind = "{kind}"\nbind = "{bind}"\n'


def told(folder: Path, text: str, severity: Severity = Severity.ERROR) -> list[Problem]:
    path = folder / "postern.toml"
    path.write_text(f'hostname = "mx.example.org"\n{text}')
    return [p for p in check(path).problems if p.severity is severity]


def only(folder: Path, text: str, severity: Severity = Severity.ERROR) -> Problem:
    found = told(folder, text, severity)
    assert len(found) == 1, found
    return found[0]


def test_one_address_for_two_listeners_is_refused_but_port_0_is_not(tmp_path: Path) -> None:
    twice = LISTENER.format(kind="mx", bind="127.0.0.1:25") * 2
    assert only(tmp_path, twice).key == ("listener", 1, "bind")
    assert not told(tmp_path, LISTENER.format(kind="mx", bind="127.0.0.1:0") * 2)


def test_submissions_needs_a_certificate(tmp_path: Path) -> None:
    text = LISTENER.format(kind="submissions", bind="127.0.0.1:465")
    assert "needs a certificate" in only(tmp_path, text).text
    text = LISTENER.format(kind="submission", bind="127.0.0.1:587")
    assert "nobody can log in" in only(tmp_path, text, Severity.WARNING).text


def test_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    problem = only(tmp_path, '[[certificate]]\ncert = "cert.pem"\nkey = "key.pem"')
    assert problem.key == ("certificate", 0, "key")
    assert str(tmp_path / "key.pem") in problem.text


@pytest.mark.parametrize("bind", ["unix:/tmp/submit.sock", "unix:../submit.sock"])
def test_socket_outside_the_data_is_refused(tmp_path: Path, bind: str) -> None:
    problem = only(tmp_path, LISTENER.format(kind="submission", bind=bind))
    assert "inside data_dir" in problem.text


def test_socket_path_that_the_kernel_cannot_take_is_refused(tmp_path: Path) -> None:
    problem = only(tmp_path, LISTENER.format(kind="submission", bind=f"unix:{'x' * 120}"))
    assert "107 bytes" in problem.text


def test_login_needs_relay_and_password_file(tmp_path: Path) -> None:
    text = '[[egress]]\nname = "us1"\nrelay = "us1.example:587"\nusername = "cn1"\n'
    assert "go together" in only(tmp_path, text).text
    assert "there is no file" in only(tmp_path, f'{text}password_file = "us1"').text


def test_password_that_everybody_reads_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "us1").write_text("x")
    (tmp_path / "us1").chmod(0o644)
    text = (
        '[[egress]]\nname = "us1"\nrelay = "us1.example:587"\n'
        'username = "cn1"\npassword_file = "us1"\n'
    )
    warnings = told(tmp_path, text, Severity.WARNING)
    assert any("everybody on this machine can read" in warning.text for warning in warnings)
    (tmp_path / "us1").chmod(0o600)
    warnings = told(tmp_path, text, Severity.WARNING)
    assert not any("everybody" in warning.text for warning in warnings)


def test_password_for_whoever_answers_is_warned_of_and_not_the_default(tmp_path: Path) -> None:
    (tmp_path / "us1").write_text("x")
    (tmp_path / "us1").chmod(0o600)
    text = (
        '[[egress]]\nname = "us1"\nrelay = "us1.example:587"\n'
        'username = "cn1"\npassword_file = "us1"\n'
    )

    def fixes(more: str) -> list[str]:
        warnings = told(tmp_path, text + more, Severity.WARNING)
        return [warning.fix for warning in warnings if "password of 'cn1'" in warning.text]

    for weaker in ("opportunistic", "encrypt"):
        assert fixes(f'tls = "{weaker}"\n') == ['tls = "verify"']
    assert fixes('tls = "verify"\n') == fixes("") == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[delivery]\negress = "us9"', ("delivery", "egress")),
        ('[delivery]\nlmtp = "dovecot"', ("delivery", "lmtp")),
        ("[queue]\nmax_retry_s = 10", ("queue", "max_retry_s")),
        ('[notices]\ntimezone = "Mars/Olympus"', ("notices", "timezone")),
        ('[notices]\ntimezone = "../etc/passwd"', ("notices", "timezone")),
        ("[quarantine]\ntold_days = 40", ("quarantine", "told_days")),
        (
            '[quarantine]\nno_digest_for = ["a.example", "a b@c.example"]',
            ("quarantine", "no_digest_for", 1),
        ),
        ('[quarantine]\nno_digest_for = ["a b"]', ("quarantine", "no_digest_for", 0)),
        ("[queue]\nexpire_s = 300", ("queue", "expire_s")),
        ('[queue]\nthrottles = "not-there.toml"', ("queue", "throttles")),
        ("[greylist]\nwait_s = 600\nretry_window_s = 600", ("greylist", "retry_window_s")),
        ('[console]\nbind = "unix:run/console.sock"', ("console", "bind")),
        ('[[egress]]\nname = "a"\n[[egress]]\nname = "a"', ("egress", 1, "name")),
        ('[[egress]]\nname = "a"\nrelay = "host"', ("egress", 0, "relay")),
        ('[[egress]]\nname = "a"\nsource = "host"', ("egress", 0, "source")),
        ('[[egress]]\nname = "a"\nhelo = "a b"', ("egress", 0, "helo")),
        ('[[egress]]\nname = "a"\naddress = ["192.0.2.1"]', ("egress", 0, "address")),
        ('[[egress]]\nname = "a"\nenforces_tls = true', ("egress", 0, "enforces_tls")),
        (
            '[[egress]]\nname = "a"\nrelay = "b.example:25"\naddress = ["c"]',
            ("egress", 0, "address", 0),
        ),
        ('[submission]\nrelay_accounts = ["a b"]', ("submission", "relay_accounts", 0)),
        ('[[resolver]]\nname = "a"\nservers = []', ("resolver", 0, "servers")),
        ('[[resolver]]\nname = "a"\nservers = ["127.0.0.1:0"]', ("resolver", 0, "servers", 0)),
        ('[scanner.clam]\nsocket = "/run/clamd.ctl"', ("scanner", "clam")),
        ("[scanner.clamd]", ("scanner", "clamd")),
        ('[scanner.clamd]\nsocket = "clamd"', ("scanner", "clamd", "socket")),
        ('[scanner.clamd]\nsocket = "/a/%s"' % ("x" * 120), ("scanner", "clamd", "socket")),
        ('[scanner.clamd]\nsocket = "h:1"\nscore = 5', ("scanner", "clamd", "score")),
        ('[scanner.spamd]\nsocket = "h:1"\ncommand = ["/x"]', ("scanner", "spamd", "command")),
        ("[scanner.command]", ("scanner", "command")),
        ('[scanner.command]\ncommand = ["scan"]', ("scanner", "command", "command")),
        (
            '[scanner.command]\ncommand = ["/bin/true"]\nsocket = "h:1"',
            ("scanner", "command", "socket"),
        ),
        (
            '[scanner.command]\ncommand = ["/bin/true"]\nfound = [0]',
            ("scanner", "command", "found"),
        ),
        ('[scanner."a b"]\nkind = "clamd"\nsocket = "h:1"', ("scanner", "a b")),
        ('user = "no-such-user-here"', ("user",)),
        ('database = "postgresql://u:hunter2@db/x"', ("database",)),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, text: str, key: tuple[str | int, ...]
) -> None:
    problem = only(tmp_path, text)
    assert problem.key == key
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize("name", ["-a.example", "a b", "a..b", "é.example", "a.example."])
def test_hostname_must_be_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "postern.toml"
    path.write_text(f'hostname = "{name}"', encoding="utf-8")
    assert any(p.key == ("hostname",) for p in check(path).problems)


def test_direct_needs_no_egress_of_its_own(tmp_path: Path) -> None:
    assert not told(tmp_path, '[delivery]\negress = "direct"')


def test_what_is_allowed_can_not_be_forbidden_as_well(tmp_path: Path) -> None:
    text = '[content]\nallow_extensions = ["JS"]\nforbid_extensions = ["js"]\n'
    problem = only(tmp_path, text)
    assert problem.key == ("content", "allow_extensions")
    assert "both allowed and forbidden" in problem.text


def test_who_is_believed_must_be_a_domain(tmp_path: Path) -> None:
    problem = only(tmp_path, '[checks]\ntrusted_arc_sealers = ["lists.example", "a b"]')
    assert problem.key == ("checks", "trusted_arc_sealers", 1)
    assert only(tmp_path, '[checks]\nknown_forwarders = ["x@y"]').text.startswith(
        "expected a domain"
    )


@pytest.mark.parametrize("page", ["mx.host.example/e/", "https://a b", "https://é/", "ftp://x/"])
def test_help_page_must_be_an_address_that_fits_a_reply(tmp_path: Path, page: str) -> None:
    assert only(tmp_path, f'[checks]\nhelp_url = "{page}"').key == ("checks", "help_url")
    assert not told(tmp_path, '[checks]\nhelp_url = "https://mx.host.example/e/"')


def test_block_list_must_be_a_zone_and_its_codes_answers(tmp_path: Path) -> None:
    assert only(tmp_path, '[[blocklist]]\nzone = "bl example"').key == ("blocklist", 0, "zone")
    for table in ("meanings", "weights"):
        value = '"x"' if table == "meanings" else "1.0"
        text = f'[[blocklist]]\nzone = "bl.example"\n{table} = {{ "2" = {value} }}'
        assert only(tmp_path, text).key == ("blocklist", 0, table, "2")
        assert not told(tmp_path, text.replace('"2"', '"127.0.0.2"'))


def test_scanner_says_by_its_name_or_its_kind_what_it_is(tmp_path: Path) -> None:
    assert not told(tmp_path, '[scanner.clamd]\nsocket = "/run/clamav/clamd.ctl"')
    largest = '[scanner.clamd]\nsocket = "h:1"\nmax_bytes = '
    assert not told(tmp_path, f"{largest}0")
    assert only(tmp_path, f"{largest}-1").key == ("scanner", "clamd", "max_bytes")
    assert not told(tmp_path, '[scanner.mine]\nkind = "rspamd"\nsocket = "127.0.0.1:11333"')
    problem = only(tmp_path, '[scanner.rspam]\nsocket = "127.0.0.1:11333"')
    assert problem.fix == "did you mean [scanner.rspamd]?"
    gone = '[scanner.command]\ncommand = ["/nowhere/scan"]'
    warnings = told(tmp_path, gone, Severity.WARNING)
    assert any("/nowhere/scan is not a program" in warning.text for warning in warnings)


def test_mistakes_in_the_table_of_providers_are_told_with_its_own_line(tmp_path: Path) -> None:
    table = tmp_path / "providers.toml"
    table.write_text('[tea-mail]\nmx = [\n  "mx.tea.example",\n  "com",\n]\n')
    problem = only(tmp_path, '[delivery]\nproviders = "providers.toml"')
    assert problem.file == table
    assert problem.position is not None
    assert problem.position.line == 4
    assert "strangers" in problem.text
    table.write_text("[tea-mail]\nmx = ]\n")
    problem = only(tmp_path, '[delivery]\nproviders = "providers.toml"')
    assert (problem.file, problem.position and problem.position.line) == (table, 2)
    assert "not TOML" in problem.text
    table.write_text('[tea-mail]\nmx = ["mx.tea.example"]\n')
    assert not told(tmp_path, '[delivery]\nproviders = "providers.toml"')


def test_a_table_of_providers_that_is_not_there_is_told_at_the_setting(tmp_path: Path) -> None:
    problem = only(tmp_path, '[delivery]\nproviders = "providers.toml"')
    assert problem.key == ("delivery", "providers")
    assert "cannot be read" in problem.text


def test_only_the_first_resolver_s_word_on_dnssec_counts(tmp_path: Path) -> None:
    one = '[[resolver]]\nname = "{name}"\nservers = ["192.0.2.53:53"]\ntrusted = true\n'
    both = one.format(name="home") + one.format(name="abroad")
    keys = [problem.key for problem in told(tmp_path, both, Severity.WARNING)]
    assert ("resolver", 1, "trusted") in keys
    assert ("resolver", 0, "trusted") not in keys


def test_authorities_of_one_s_own_must_be_there(tmp_path: Path) -> None:
    problem = only(tmp_path, '[delivery]\nca_file = "ca.pem"')
    assert problem.key == ("delivery", "ca_file")
    (tmp_path / "ca.pem").write_text("x")
    assert not told(tmp_path, '[delivery]\nca_file = "ca.pem"')
