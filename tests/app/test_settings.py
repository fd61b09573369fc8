from pathlib import Path

import msgspec
import pytest

from postern.app import settings as wired
from postern.app import ways_out
from postern.config.inbound import Quarantine
from postern.config.keeping import Notices
from postern.config.load import load
from postern.config.outbound import Egress
from postern.config.settings import Config
from postern.mail.route import TlsPolicy
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.rates import RateSettings
from postern.policy.scanners.settings import Kind as Kind_
from postern.reception.settings import Kind

FILE = """
hostname = "mx.host.example"
data_dir = "data"
workers = 2

[[listener]]
kind = "mx"
bind = "127.0.0.1:2525"
relay_from = ["192.0.2.0/24"]
greeting_wait_s = 2.5
proxy_protocol = ["127.0.0.0/8"]

[[listener]]
kind = "submission"
bind = "unix:run/submit.sock"

[[resolver]]
name = "home"
servers = ["127.0.0.1:5353"]
transport = "tcp"

[[egress]]
name = "direct"
source = "203.0.113.5"

[[egress]]
name = "us1"
relay = "us1.host.example:587"
username = "cn1"
password_file = "secret"
tls = "verify"

[delivery]
port = 2600
slots = 60
connect_timeout_s = 3

[queue]
first_retry_s = 60
expire_s = 3600

[limits]
max_message_bytes = 1000000
connections = 77

[spool]
reserve_bytes = 1000

[greylist]
mode = "always"
wait_s = 60
retry_window_s = 3600
life_s = 864000
passes_enough = 0
entries = 5000

[rate]
period_s = 60
messages_per_address = 1
messages_per_network = 2
messages_per_sender = 3
messages_per_recipient = 4
recipients_per_address = 5
recipients_per_sender = 6

[content]
forbid_extensions = [".DOCM"]
allow_extensions = ["js"]
allow_types = ["application/hta"]
encrypted_archives = "fail"
archive_depth = 3

[journal]
disk_budget_mb = 3
keep_days = 4

[scanner.clamd]
socket = "run/clamd.ctl"

[scanner.rspamd]
socket = "http://[::1]:11333/"
score = 8.5
slots = 1
queue = 9

[scanner.spamd]
socket = "localhost:783"

[scanner.ours]
kind = "command"
command = ["/bin/true", "--quiet", "{file}"]
timeout_s = 5
found = [1, 3]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "secret").write_text("pass word\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "postern.toml").write_text(FILE)
    return load(tmp_path / "postern.toml")


def test_reception_gets_the_limits_and_this_workers_place(config: Config) -> None:
    made = wired.reception_settings(config, worker=1)
    assert (made.hostname, made.worker) == ("mx.host.example", 1)
    assert made.max_message_bytes == 1_000_000
    assert made.connections == 77
    assert made.expire_s == 3600


def test_verdicts_that_differ_are_held_unless_it_says_defer(config: Config) -> None:
    assert not wired.reception_settings(config, worker=0).defers_mixed
    other = msgspec.structs.replace(config, mixed_verdict="defer")
    assert wired.reception_settings(other, worker=0).defers_mixed


def test_listeners_keep_their_order_networks_and_kind(config: Config) -> None:
    mx, local = wired.listener_settings(config)
    assert mx.kind is Kind.MX
    assert [str(network) for network in mx.relay_from] == ["192.0.2.0/24"]
    assert [str(network) for network in mx.proxy_protocol] == ["127.0.0.0/8"]
    assert local.is_unix
    assert not mx.is_unix


def test_new_clients_wait_for_the_greeting_as_long_as_it_says(config: Config) -> None:
    assert [made.greeting_wait_s for made in wired.listener_settings(config)] == [2.5, 1.0]


def test_greylisting_and_rates_are_as_it_says(config: Config) -> None:
    made = wired.policy_settings(config, 0, 1).greylist
    assert made == GreylistSettings(Mode.ALWAYS, 60, 3600, 864000, 0, 5000)
    assert wired.policy_settings(config, 0, 1).rates == RateSettings(60, 1, 2, 3, 4, 5, 6)


def test_nobody_is_limited_and_only_the_suspicious_are_greylisted_by_default() -> None:
    config = Config()
    assert wired.policy_settings(config, 0, 1).rates.is_off
    assert wired.policy_settings(config, 0, 1).greylist == GreylistSettings()


def test_slots_are_divided_among_workers(config: Config) -> None:
    made = wired.queue_settings(config, 2)
    assert (made.worker_slots, made.group_slots) == (30, 7)
    assert (made.first_retry_s, made.expire_s) == (60, 3600)
    assert made.worker_fresh_bytes == made.fresh_bytes // 2


def test_ourselves_are_known_by_the_ports_that_were_really_bound(config: Config) -> None:
    made = ways_out.routing_settings(config, {0: 40123})
    assert [str(place) for place in made.listeners] == ["127.0.0.1:40123"]
    assert made.port == 2600


def test_an_egress_with_a_relay_has_its_login_and_tls(config: Config) -> None:
    direct, relay = ways_out.routing_settings(config, {}).egresses
    assert direct.relay is None
    assert direct.source_ip == "203.0.113.5"
    assert str(relay.relay) == "us1.host.example:587"
    assert (relay.username, relay.password) == ("cn1", "pass word")
    assert relay.tls is TlsPolicy.VERIFY
    assert "pass word" not in repr(relay)


def test_a_relay_with_a_login_is_verified_unless_somebody_says_otherwise() -> None:
    relay = Egress("us1", relay="us1.host.example:587", username="cn1")
    assert relay.demanded_tls == "verify"
    assert Egress("us1", relay="us1.host.example:25").demanded_tls == "opportunistic"
    assert msgspec.structs.replace(relay, tls="encrypt").demanded_tls == "encrypt"


def test_the_spool_stops_accepting_before_two_messages_and_the_reserve(config: Config) -> None:
    made = wired.spool_settings(config, 2)
    assert made.reserve_bytes == 2 * 1_000_000 + 1000
    assert made.folder == config.data_dir / "spool"


def test_each_worker_holds_its_part_of_a_mailboxs_bound(config: Config) -> None:
    held = wired.spool_settings(config, 2).hold
    assert (held.keep_s, held.told_s) == (30 * 86_400.0, 7 * 86_400.0)
    assert (held.worker_messages, held.worker_bytes) == (500, 256 * 1024 * 1024)


def test_who_is_left_out_of_letters_is_named_by_domain_or_mailbox(config: Config) -> None:
    quarantine = Quarantine(no_digest_for=("Quiet.example", "Wang@harbour.example"))
    is_told = wired.told_check(msgspec.structs.replace(config, quarantine=quarantine))
    assert is_told("li@harbour.example")
    assert not is_told("wang@harbour.example")
    assert not is_told("anyone@quiet.example")
    off = msgspec.structs.replace(config, quarantine=Quarantine(digest=False))
    assert not wired.told_check(off)("li@harbour.example")
    assert not wired.digest_settings(off).wanted


def test_letters_tell_the_time_of_the_site(config: Config) -> None:
    here = msgspec.structs.replace(config, notices=Notices(timezone="Asia/Shanghai"))
    assert str(wired.notice_settings(here).timezone) == "Asia/Shanghai"


def test_the_journals_budget_is_for_all_workers(config: Config) -> None:
    made = wired.journal_settings(config, 2)
    assert (made.keep_days, made.budget_bytes, made.workers) == (4, 3 * 1024 * 1024, 2)


def test_a_resolver_is_asked_twice_within_its_time(config: Config) -> None:
    (made,) = wired.resolver_settings(config)
    assert made.name == "home"
    assert sum(made.tries_s) == pytest.approx(config.resolvers[0].timeout_s)
    assert [(server.ip, server.port) for server in made.servers] == [("127.0.0.1", 5353)]


def test_what_is_not_taken_is_our_list_with_what_is_added_and_taken_out(config: Config) -> None:
    made = wired.policy_settings(config, 0, 1).content
    assert {"docm", "exe", "iso"} <= made.extensions
    assert "js" not in made.extensions
    assert "js" in made.watched  # invoice.pdf.js is not taken all the same
    assert "application/hta" not in made.types
    assert "message/partial" in made.types
    assert made.encrypted
    assert wired.policy_settings(config, 0, 1).limits.archive_depth == 3


def test_scanners_get_this_workers_part_and_their_kinds_own_limits(config: Config) -> None:
    clamd, rspamd, spamd, ours = wired.policy_settings(config, 1, 2).scanners
    assert (clamd.kind, clamd.family, clamd.timeout_s) == (Kind_.CLAMD, "virus", 60)
    assert str(clamd.place) == str(config.source.parent / "run/clamd.ctl")
    assert (clamd.slots, clamd.queue, clamd.max_bytes) == (10, 100, 25 * 1024 * 1024)
    assert (str(rspamd.place), rspamd.score, rspamd.timeout_s) == ("[::1]:11333", 8.5, 10)
    assert (rspamd.slots, rspamd.queue) == (1, 4)
    assert (str(spamd.place), spamd.max_bytes) == ("localhost:783", 512 * 1024)
    assert (ours.place, ours.argv[0], ours.timeout_s) == (None, "/bin/true", 5)
    assert ours.clean == {0}
    assert ours.found == {1, 3}
    assert ours.folder == config.run_dir / "scan-1"
