"""What commands change holds whole or not at all, and is told in the change log."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from postern.directory.expand import MAX_DEPTH, MAX_DESTINATIONS
from postern.directory.model import (
    Alias,
    Domain,
    DomainPatch,
    DomainSummary,
    HostPort,
    Mailbox,
    MailboxPatch,
    Problem,
    Refused,
)
from postern.directory.store import tables
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.mail.address import Address
from postern.runtime.clock import FakeClock

H = "harbour.example"


def refusal(result: object, problem: Problem) -> str:
    assert isinstance(result, Refused), result
    assert result.problem is problem
    assert "\n" not in result.text
    return result.text


@pytest.fixture
def harbour(site: SiteStore) -> SiteStore:
    assert isinstance(site.add_domain(H), Domain)
    assert isinstance(site.add_mailbox(f"wang@{H}"), Mailbox)
    return site


def tail(site: SiteStore) -> list[str]:
    return [f"{change.noun} {change.action}" for change in site.changes()]


def test_domain_comes_back_as_it_was_added(site: SiteStore, clock: FakeClock) -> None:
    added = site.add_domain("GW.example", HostPort("mail.gw.example", 2525))
    assert isinstance(added, Domain)
    assert added == Domain(added.id, "gw.example", clock.now(), "mail.gw.example", 2525)
    assert site.domain("gw.example") == DomainSummary(added, 0, 0)
    assert list(site.domains()) == [DomainSummary(added, 0, 0)]


def test_second_domain_of_the_same_name_is_refused(harbour: SiteStore) -> None:
    assert "already" in refusal(harbour.add_domain("HARBOUR.example."), Problem.ALREADY_THERE)


def test_unknown_domain_names_the_nearest(harbour: SiteStore) -> None:
    text = refusal(harbour.domain("harbor.example"), Problem.NOT_THERE)
    assert text == "there is no domain harbor.example here; did you mean harbour.example?"
    far = refusal(harbour.domain("tea.example"), Problem.NOT_THERE)
    assert far == "there is no domain tea.example here; see: postern domain list"


def test_names_that_are_none_are_malformed_everywhere(harbour: SiteStore) -> None:
    for result in (
        harbour.add_domain("no domain"),
        harbour.domain(""),
        harbour.add_mailbox("wang"),
        harbour.add_mailbox("postmaster"),
        harbour.mailbox("@harbour.example"),
        harbour.add_alias("sales", ["wang@harbour.example"]),
        harbour.add_alias(f"sales@{H}", ["x\r\ny@harbour.example"]),
        harbour.set_domain(H, DomainPatch(separator="ab")),
        harbour.set_domain(H, DomainPatch(separator="a")),
    ):
        refusal(result, Problem.MALFORMED)
    assert tail(harbour) == ["domain add", "mailbox add"]


def test_mailbox_is_changed_whole(harbour: SiteStore) -> None:
    changed = harbour.set_mailbox(
        f"WANG@{H}", MailboxPatch(password_hash="$argon2id$x", quota_bytes=5, enabled=False)
    )
    assert isinstance(changed, Mailbox)
    assert (changed.password_hash, changed.quota_bytes, changed.enabled) == (
        "$argon2id$x",
        5,
        False,
    )
    back = harbour.set_mailbox(f"wang@{H}", MailboxPatch(quota_bytes=None))
    assert isinstance(back, Mailbox)
    assert (back.password_hash, back.quota_bytes, back.enabled) == ("$argon2id$x", None, False)
    assert harbour.mailbox(f"wang@{H}") == back


def test_hash_is_in_no_representation_and_in_no_log_line(harbour: SiteStore) -> None:
    harbour.add_mailbox(f"li@{H}", "$argon2id$secret")
    harbour.set_mailbox(f"li@{H}", MailboxPatch(password_hash="$argon2id$other"))
    assert "argon2id" not in repr(harbour.mailbox(f"li@{H}"))
    assert "argon2id" not in repr(MailboxPatch(password_hash="$argon2id$other"))
    assert "argon2id" not in repr(harbour.changes())
    assert [msgspec.json.decode(c.values).get("password_changed") for c in harbour.changes()] == [
        None,
        None,
        True,
        True,
    ]


def test_change_log_says_who_when_what(harbour: SiteStore, clock: FakeClock) -> None:
    clock.advance(60)
    alias = harbour.add_alias(f"sales@{H}", [f"Wang@{H}", "X@out.example"])
    assert isinstance(alias, Alias)
    last = harbour.changes(after=2)[0]
    assert (last.seq, last.at, last.author) == (3, clock.now(), "cli:wang")
    assert (last.noun, last.row_id, last.action) == ("alias", alias.id, "add")
    assert msgspec.json.decode(last.values) == {
        "address": f"sales@{H}",
        "targets": [f"wang@{H}", "X@out.example"],
    }
    assert [change.seq for change in harbour.changes(limit=1)] == [1]


def test_refused_change_leaves_no_row_and_no_log_line(harbour: SiteStore) -> None:
    harbour.add_alias(f"a@{H}", [f"b@{H}"])
    refusal(harbour.add_alias(f"b@{H}", [f"a@{H}"]), Problem.NOT_ALLOWED)
    refusal(harbour.alias(f"b@{H}"), Problem.NOT_THERE)
    assert tail(harbour) == ["domain add", "mailbox add", "alias add"]


def test_circle_is_refused_and_printed(harbour: SiteStore) -> None:
    harbour.add_domain("tea.example")
    harbour.add_alias(f"a@{H}", ["b@tea.example", f"wang@{H}"])
    harbour.add_alias("b@tea.example", [f"c@{H}"])
    text = refusal(harbour.add_alias(f"c@{H}", [f"A+x@{H}"]), Problem.NOT_ALLOWED)
    assert text == (f"mail would go in a circle: c@{H} -> a@{H} -> b@tea.example -> c@{H}")


def test_circle_made_by_changing_an_alias_is_refused_and_the_old_targets_stay(
    harbour: SiteStore,
) -> None:
    harbour.add_alias(f"a@{H}", [f"wang@{H}"])
    harbour.add_alias(f"b@{H}", [f"a@{H}"])
    refusal(harbour.set_alias(f"a@{H}", [f"b@{H}"]), Problem.NOT_ALLOWED)
    kept = harbour.alias(f"a@{H}")
    assert isinstance(kept, Alias)
    assert kept.targets == (Address("wang", H),)


def test_alias_to_itself_without_a_mailbox_is_a_circle(harbour: SiteStore) -> None:
    text = refusal(harbour.add_alias(f"a@{H}", [f"a@{H}"]), Problem.NOT_ALLOWED)
    assert text == f"mail would go in a circle: a@{H} -> a@{H}"


def test_circle_through_a_catch_all_is_refused(harbour: SiteStore) -> None:
    harbour.add_alias(f"a@{H}", [f"unknown@{H}"])
    text = refusal(
        harbour.set_domain(H, DomainPatch(catch_all=Address("a", H))), Problem.NOT_ALLOWED
    )
    assert text == f"mail would go in a circle: catch-all of {H} -> a@{H} -> catch-all of {H}"
    summary = harbour.domain(H)
    assert isinstance(summary, DomainSummary)
    assert summary.domain.catch_all is None


def test_catch_all_to_nobody_says_what_to_add(harbour: SiteStore) -> None:
    result = harbour.set_domain(H, DomainPatch(catch_all=Address("gone", H)))
    assert f"gone@{H} is no mailbox" in refusal(result, Problem.NOT_ALLOWED)


def test_circle_through_the_sites_postmaster_is_refused(harbour: SiteStore) -> None:
    assert isinstance(harbour.add_alias("postmaster", [f"boss@{H}"]), Alias)
    text = refusal(harbour.add_alias(f"boss@{H}", [f"postmaster@{H}"]), Problem.NOT_ALLOWED)
    assert text == f"mail would go in a circle: boss@{H} -> postmaster -> boss@{H}"


def test_chain_beyond_the_bound_is_refused(harbour: SiteStore) -> None:
    # Written from the far end, so that the last one written is the one that makes it too long.
    harbour.add_alias(f"a0@{H}", [f"wang@{H}"])
    for n in range(1, MAX_DEPTH):
        assert isinstance(harbour.add_alias(f"a{n}@{H}", [f"a{n - 1}@{H}"]), Alias)
    text = refusal(harbour.add_alias(f"last@{H}", [f"a{MAX_DEPTH - 1}@{H}"]), Problem.NOT_ALLOWED)
    assert f"more than {MAX_DEPTH} aliases" in text


def test_alias_has_bounded_targets_none_of_them_twice(harbour: SiteStore) -> None:
    many = [f"u{n}@out.example" for n in range(MAX_DESTINATIONS + 1)]
    refusal(harbour.add_alias(f"all@{H}", many), Problem.NOT_ALLOWED)
    refusal(harbour.add_alias(f"none@{H}", []), Problem.MALFORMED)
    alias = harbour.add_alias(f"two@{H}", [f"Wang@{H}", f"wang@{H}", "x@out.example"])
    assert isinstance(alias, Alias)
    assert alias.targets == (Address("wang", H), Address("x", "out.example"))


def test_mailbox_and_alias_share_one_name_space(harbour: SiteStore) -> None:
    harbour.add_alias(f"sales@{H}", [f"wang@{H}"])
    refusal(harbour.add_mailbox(f"Sales@{H}"), Problem.ALREADY_THERE)
    refusal(harbour.add_alias(f"SALES@{H}", [f"wang@{H}"]), Problem.ALREADY_THERE)
    refusal(harbour.add_mailbox(f"wang@{H}"), Problem.ALREADY_THERE)
    refusal(harbour.add_alias(f"wang@{H}", ["x@out.example"]), Problem.ALREADY_THERE)
    assert isinstance(harbour.add_alias(f"wang@{H}", [f"wang@{H}", "x@out.example"]), Alias)
    assert "alias" in refusal(harbour.remove_mailbox(f"wang@{H}"), Problem.NOT_ALLOWED)


def test_wrong_noun_is_pointed_to_the_right_one(harbour: SiteStore) -> None:
    harbour.add_alias(f"sales@{H}", [f"wang@{H}"])
    assert "is an alias" in refusal(harbour.mailbox(f"sales@{H}"), Problem.NOT_THERE)
    assert "is a mailbox" in refusal(harbour.alias(f"wang@{H}"), Problem.NOT_THERE)
    assert f"did you mean wang@{H}" in refusal(harbour.mailbox(f"wagn@{H}"), Problem.NOT_THERE)
    assert f"did you mean sales@{H}" in refusal(harbour.alias(f"sale@{H}"), Problem.NOT_THERE)


def test_gateway_domain_takes_no_mailbox_and_no_catch_all(harbour: SiteStore) -> None:
    harbour.add_domain("gw.example", HostPort("mail.gw.example", 25))
    refusal(harbour.add_mailbox("a@gw.example"), Problem.NOT_ALLOWED)
    refusal(
        harbour.set_domain("gw.example", DomainPatch(catch_all=Address("wang", H))),
        Problem.NOT_ALLOWED,
    )
    refusal(harbour.set_domain(H, DomainPatch(gateway=HostPort("x", 25))), Problem.NOT_ALLOWED)
    here = harbour.set_domain("gw.example", DomainPatch(gateway=None))
    assert isinstance(here, Domain)
    assert not here.is_gateway


def test_full_domain_is_removed_only_on_purpose_and_then_wholly(harbour: SiteStore) -> None:
    harbour.add_alias(f"sales@{H}", [f"wang@{H}"])
    text = refusal(harbour.remove_domain(H), Problem.NOT_ALLOWED)
    assert text == f"{H} still has 1 mailbox and 1 alias; --yes removes them with it"
    removed = harbour.remove_domain(H, with_contents=True)
    assert isinstance(removed, DomainSummary)
    assert (removed.mailboxes, removed.aliases) == (1, 1)
    assert list(harbour.domains()) == []
    with harbour.database.read() as connection:
        for table in (tables.mailbox, tables.alias, tables.alias_target):
            assert connection.execute(table.select()).all() == []
    assert tail(harbour)[-3:] == ["mailbox remove", "alias remove", "domain remove"]


def test_removed_mailbox_names_what_still_leads_to_it(harbour: SiteStore) -> None:
    harbour.add_alias(f"sales@{H}", [f"Wang@{H}"])
    harbour.set_domain(H, DomainPatch(catch_all=Address("wang", H)))
    removed = harbour.remove_mailbox(f"wang@{H}")
    assert isinstance(removed, Mailbox)
    assert harbour.senders_to(removed.address) == [f"sales@{H}", f"the catch-all of {H}"]
    refusal(harbour.mailbox(f"wang@{H}"), Problem.NOT_THERE)


def test_lists_are_sorted_and_can_be_of_one_domain(harbour: SiteStore) -> None:
    harbour.add_domain("a.example")
    harbour.add_mailbox("z@a.example")
    harbour.add_mailbox(f"chen@{H}")
    harbour.add_alias("all@a.example", ["z@a.example", "x@out.example"])
    harbour.add_alias(f"sales@{H}", [f"wang@{H}"])
    harbour.add_alias("postmaster", [f"wang@{H}"])
    mailboxes, aliases = harbour.mailboxes(), harbour.aliases()
    assert not isinstance(mailboxes, Refused)
    assert not isinstance(aliases, Refused)
    assert [str(mailbox.address) for mailbox in mailboxes] == [
        "z@a.example",
        f"chen@{H}",
        f"wang@{H}",
    ]
    assert [(str(alias.address), len(alias.targets)) for alias in aliases] == [
        ("postmaster", 1),
        ("all@a.example", 2),
        (f"sales@{H}", 1),
    ]
    only = harbour.aliases(H)
    assert not isinstance(only, Refused)
    assert [str(alias.address) for alias in only] == [f"sales@{H}"]
    refusal(harbour.mailboxes("nowhere.example"), Problem.NOT_THERE)


def test_targets_that_nothing_answers_for_are_named(harbour: SiteStore) -> None:
    alias = harbour.add_alias(f"all@{H}", [f"gone@{H}", f"wang+x@{H}", "x@out.example"])
    assert isinstance(alias, Alias)
    assert harbour.missing_targets(alias) == (Address("gone", H),)


def test_sites_postmaster_is_set_changed_and_forgotten(harbour: SiteStore) -> None:
    refusal(harbour.alias("postmaster"), Problem.NOT_THERE)
    assert isinstance(harbour.add_alias("Postmaster", [f"wang@{H}"]), Alias)
    refusal(harbour.add_alias("postmaster", [f"wang@{H}"]), Problem.ALREADY_THERE)
    changed = harbour.set_alias("postmaster", ["x@out.example", f"wang@{H}"])
    assert isinstance(changed, Alias)
    assert harbour.alias("postmaster") == changed
    assert isinstance(harbour.remove_alias("postmaster"), Alias)
    refusal(harbour.alias("postmaster"), Problem.NOT_THERE)


def test_trace_key_is_made_once_and_kept(site: SiteStore, data_dir: Path, clock: FakeClock) -> None:
    key = site.trace_key()
    assert len(key) == 32
    other = SiteStore.open(data_dir, clock, "other")
    assert other.trace_key() == key
    other.close()


def test_counters_are_durable_before_use_and_never_given_twice(
    site: SiteStore, data_dir: Path, clock: FakeClock
) -> None:
    first = site.reserve_counters()
    raw = sqlite3.connect(data_dir / FILE_NAME)
    kept = raw.execute("SELECT value FROM setting WHERE key = 'trace.counter'").fetchone()
    raw.close()
    assert kept == ("65536",)
    other = SiteStore.open(data_dir, clock, "other")
    second, third = other.reserve_counters(), site.reserve_counters()
    other.close()
    assert [len(block) for block in (first, second, third)] == [65_536] * 3
    assert [block.start for block in (first, second, third)] == [0, 65_536, 131_072]


def test_quoted_local_parts_come_back_as_they_were(harbour: SiteStore) -> None:
    added = harbour.add_mailbox(f'"Two Words/.."@{H}')
    assert isinstance(added, Mailbox)
    assert added.address == Address("two words/..", H)
    alias = harbour.add_alias(f"q@{H}", [f'"two words/.."@{H}', '"a\\"b"@out.example'])
    assert isinstance(alias, Alias)
    assert harbour.alias(f"q@{H}") == alias
    assert harbour.missing_targets(alias) == ()


def test_data_folder_that_a_command_makes_lets_others_pass_to_the_socket(
    tmp_path: Path, clock: FakeClock
) -> None:
    SiteStore.open(tmp_path / "fresh", clock, "cli:wang").close()
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o711
