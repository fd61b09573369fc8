"""What workers are told about an address, and how many queries it costs them."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.directory.reading import Reading

from postern.directory.model import DomainPatch, HostPort, MailboxPatch, Refused
from postern.directory.reader import CACHED_ADDRESSES, CACHED_DOMAINS, Account, Directory
from postern.directory.resolution import (
    Destination,
    Disabled,
    Gateway,
    NoSuchMailbox,
    NotOurs,
    Resolved,
    Store,
    Via,
)
from postern.directory.store import tables
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.mail.address import Address
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError

H = "harbour.example"


def at(local: str, domain: str = H) -> Address:
    return Address(local, domain)


def granted(*results: object) -> None:
    assert not [result for result in results if isinstance(result, Refused)]


@pytest.fixture(autouse=True)
def harbour(site: SiteStore, clock: FakeClock) -> None:
    """The mailboxes wang (the first) and li."""
    granted(site.add_domain(H), site.add_mailbox(f"wang@{H}"))
    clock.advance(1)
    granted(site.add_mailbox(f"li@{H}"))


def locally(via: Via, *addresses: Address) -> Resolved:
    return Resolved(tuple(Destination(address, local=True) for address in addresses), via)


def account(local: str, domain: str = H) -> Account:
    return Account(at(local, domain), "id")


def test_mailbox_is_found_in_any_case(directory: Directory) -> None:
    assert directory.resolve(at("WANG")) == locally(Via.MAILBOX, at("wang"))


def test_stranger_is_not_ours_and_unknown_name_is_no_mailbox(directory: Directory) -> None:
    assert directory.resolve(at("wang", "tea.example")) == NotOurs()
    assert directory.resolve(at("wang", "[192.0.2.1]")) == NotOurs()
    assert directory.resolve(at("nobody")) == NoSuchMailbox(H)
    assert directory.resolve(Address("somebody", "")) == NotOurs()


def test_tag_reaches_the_mailbox_and_stays_in_the_address(directory: Directory) -> None:
    assert directory.resolve(at("Wang+Shop")) == locally(Via.PLUS, at("wang+Shop"))
    assert directory.home_of(at("wang+Shop")) == f"{H}/wang"


def test_exact_name_wins_over_the_one_without_tag(site: SiteStore, directory: Directory) -> None:
    granted(site.add_mailbox(f"wang+shop@{H}"), site.add_alias(f"wang+ads@{H}", [f"li@{H}"]))
    assert directory.resolve(at("wang+shop")) == locally(Via.MAILBOX, at("wang+shop"))
    assert directory.home_of(at("wang+shop")) == f"{H}/wang+shop"
    assert directory.resolve(at("wang+ads")) == locally(Via.ALIAS, at("li"))


def test_domain_chooses_its_separator_or_none(site: SiteStore, directory: Directory) -> None:
    granted(site.set_domain(H, DomainPatch(separator="-")))
    directory.refresh()
    assert directory.resolve(at("wang-x")) == locally(Via.PLUS, at("wang-x"))
    assert directory.resolve(at("wang+x")) == NoSuchMailbox(H)
    granted(site.set_domain(H, DomainPatch(separator=None)))
    directory.refresh()
    assert directory.resolve(at("wang-x")) == NoSuchMailbox(H)


def test_alias_leads_to_several_targets_here_and_outside(
    site: SiteStore, directory: Directory
) -> None:
    granted(
        site.add_alias(f"all@{H}", [f"sales@{H}", f"li@{H}"]),
        site.add_alias(f"sales@{H}", [f"Wang+Sales@{H}", f"Wang@{H}", "X@out.example"]),
    )
    assert directory.resolve(at("ALL")) == Resolved(
        (
            Destination(at("wang+sales"), local=True),
            Destination(at("X", "out.example"), local=False, outside=True),
            Destination(at("li"), local=True),
        ),
        Via.ALIAS,
    )
    assert directory.resolve(at("sales+x")) == Resolved(
        (
            Destination(at("wang+sales"), local=True),
            Destination(at("X", "out.example"), local=False, outside=True),
        ),
        Via.PLUS,
    )


def test_mailbox_keeps_a_copy_when_its_alias_names_it(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_alias(f"wang@{H}", [f"wang@{H}", f"li@{H}"]))
    assert directory.resolve(at("wang")) == locally(Via.ALIAS, at("wang"), at("li"))
    assert directory.home_of(at("wang")) == f"{H}/wang"


def test_targets_that_are_gone_are_named_and_the_rest_gets_the_mail(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_alias(f"all@{H}", [f"gone@{H}", f"li@{H}", f"wang@{H}"]))
    granted(site.set_mailbox(f"li@{H}", MailboxPatch(enabled=False)))
    found = directory.resolve(at("all"))
    assert found == Resolved(
        (Destination(at("wang"), local=True),), Via.ALIAS, (at("gone"), at("li"))
    )


def test_alias_all_of_whose_targets_are_gone_is_no_mailbox(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_alias(f"all@{H}", [f"gone@{H}"]))
    assert directory.resolve(at("all")) == NoSuchMailbox(H)


def test_switched_off_mailbox_is_told_apart_from_none(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.set_mailbox(f"li@{H}", MailboxPatch(enabled=False)))
    assert directory.resolve(at("li")) == Disabled(at("li"))
    assert directory.home_of(at("li")) == f"{H}/li"


def test_catch_all_gets_what_nobody_else_does(site: SiteStore, directory: Directory) -> None:
    granted(site.set_domain(H, DomainPatch(catch_all=at("Li"))))
    assert directory.resolve(at("typo")) == locally(Via.CATCH_ALL, at("li"))
    assert directory.resolve(at("wang")) == locally(Via.MAILBOX, at("wang"))
    assert directory.resolve(at("wang+x")) == locally(Via.PLUS, at("wang+x"))


def test_catch_all_does_not_take_the_postmasters_mail(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.set_domain(H, DomainPatch(catch_all=at("li"))))
    assert directory.resolve(at("postmaster")) == locally(Via.POSTMASTER, at("wang"))


def test_postmaster_is_the_domains_own_then_the_sites_then_the_first_mailbox(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_domain("tea.example"))
    for asked in (at("PostMaster"), at("postmaster", "tea.example"), Address("postmaster", "")):
        assert directory.resolve(asked) == locally(Via.POSTMASTER, at("wang"))
    granted(site.add_alias("postmaster", [f"li@{H}"]))
    directory.refresh()
    for asked in (at("postmaster+x"), at("postmaster", "tea.example"), Address("Postmaster", "")):
        assert directory.resolve(asked) == locally(Via.POSTMASTER, at("li"))
    granted(site.add_mailbox("postmaster@tea.example"))
    directory.refresh()
    own = at("postmaster", "tea.example")
    assert directory.resolve(own) == locally(Via.MAILBOX, own)
    assert directory.resolve(at("postmaster")) == locally(Via.POSTMASTER, at("li"))


def test_postmaster_that_was_switched_off_is_replaced_by_the_sites(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_mailbox(f"postmaster@{H}"))
    granted(site.set_mailbox(f"postmaster@{H}", MailboxPatch(enabled=False)))
    assert directory.resolve(at("postmaster")) == locally(Via.POSTMASTER, at("wang"))


def test_gateway_decides_about_its_addresses_except_for_aliases_here(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_domain("gw.example", HostPort("mail.gw.example", 2525)))
    granted(site.add_alias("news@gw.example", ["li@gw.example", f"li@{H}"]))
    gateway = Gateway("gw.example", "mail.gw.example", 2525)
    for local in ("anyone", "postmaster", "news+x"):
        assert directory.resolve(at(local, "gw.example")) == gateway
    assert directory.resolve(at("news", "gw.example")) == Resolved(
        (Destination(at("li", "gw.example"), local=False), Destination(at("li"), local=True)),
        Via.ALIAS,
    )
    assert directory.home_of(at("anyone", "gw.example")) is None


def test_change_holds_after_refresh_also_for_what_was_not_there(
    site: SiteStore, directory: Directory
) -> None:
    assert directory.refresh()
    assert directory.resolve(at("chen")) == NoSuchMailbox(H)
    assert directory.resolve(at("x", "new.example")) == NotOurs()
    assert directory.home_of(at("chen")) is None
    granted(site.add_mailbox(f"chen@{H}"), site.add_domain("new.example"))
    assert directory.refresh()
    assert directory.resolve(at("chen")) == locally(Via.MAILBOX, at("chen"))
    assert directory.resolve(at("x", "new.example")) == NoSuchMailbox("new.example")
    assert directory.home_of(at("chen")) == f"{H}/chen"
    assert not directory.refresh()


def test_what_is_written_while_mail_flows_drops_nothing(site: SiteStore, reading: Reading) -> None:
    directory, told = reading.directory, list[str]()
    directory.on_change(lambda: told.append("changed"))
    assert directory.refresh()
    directory.resolve(at("wang"))
    reading.queries.clear()
    with site.database.write() as connection:
        connection.execute(tables.setting.insert().values(key="beside", value="the directory"))
    assert not directory.refresh()
    directory.resolve(at("wang"))
    assert len(reading.queries) == 1  # how far the change log goes
    granted(site.add_mailbox(f"later@{H}"))
    assert directory.refresh()
    assert told == ["changed", "changed"]


@pytest.mark.parametrize(
    ("local", "sender", "answer"),
    [
        ("wang", "wang", "may"),
        ("wang", "WANG+shop", "may"),
        ("wang", "sales", "may"),
        ("wang", "sales+x", "may"),
        ("wang", "chained", "may"),
        ("wang", "li", "may not"),
        ("wang", "li+x", "may not"),
        ("wang", "typo", "may not"),
        ("li", "typo", "may"),
        ("li", "sales", "may not"),
        ("li", "copied", "may not"),
        ("copied", "copied", "may"),
    ],
)
def test_account_sends_as_its_own_addresses_only(
    site: SiteStore, directory: Directory, local: str, sender: str, answer: str
) -> None:
    granted(
        site.add_mailbox(f"copied@{H}"),
        site.add_alias(f"copied@{H}", [f"copied@{H}", f"li@{H}"]),
        site.add_alias(f"sales@{H}", [f"wang@{H}", "x@out.example"]),
        site.add_alias(f"chained@{H}", [f"sales@{H}"]),
        site.set_domain(H, DomainPatch(catch_all=at("li"))),
    )
    assert directory.may_send_as(account(local), at(sender)) is (answer == "may")


def test_nobody_sends_as_a_stranger_or_as_another_domain(
    site: SiteStore, directory: Directory
) -> None:
    granted(site.add_domain("tea.example"), site.add_mailbox("wang@tea.example"))
    assert not directory.may_send_as(account("wang"), at("wang", "out.example"))
    assert not directory.may_send_as(account("wang"), at("wang", "tea.example"))


def test_first_look_costs_three_queries_and_the_second_none(reading: Reading) -> None:
    directory = reading.directory
    directory.refresh()
    reading.queries.clear()
    directory.resolve(at("wang"))
    assert len(reading.queries) == 3  # domain, mailboxes, aliases
    directory.resolve(at("wang"))
    directory.refresh()
    directory.resolve(at("wang"))
    assert len(reading.queries) == 3
    directory.resolve(at("li"))
    assert len(reading.queries) == 5  # the domain is known
    directory.resolve(at("nobody"))
    directory.resolve(at("nobody"))
    assert len(reading.queries) == 7


def test_mail_to_strangers_costs_one_query_a_domain_and_fills_no_address_cache(
    reading: Reading,
) -> None:
    for n in range(100):
        reading.directory.resolve(at(f"u{n}", "out.example"))
    assert len(reading.queries) == 1
    assert reading.directory._resolved.cache_info().currsize == 0


def test_hundred_thousand_domains_cost_a_look_up_no_more_and_memory_stays_bounded(
    site: SiteStore, reading: Reading
) -> None:
    rows = [
        {"id": f"{n:026}", "name": f"d{n}.example", "separator": "+", "created_at": 0.0}
        for n in range(100_000)
    ]
    with site.database.write() as connection:
        connection.execute(tables.domain.insert(), rows)
        connection.execute(
            tables.mailbox.insert(),
            [
                {"id": row["id"], "domain_id": row["id"], "local": "u", "enabled": True}
                | {"created_at": 0.0}
                for row in rows[:20_000]
            ],
        )
    directory = reading.directory
    directory.refresh()
    reading.queries.clear()
    found = directory.resolve(at("u", "d19999.example"))
    assert found == locally(Via.MAILBOX, at("u", "d19999.example"))
    assert len(reading.queries) == 3
    for n in range(CACHED_DOMAINS + 100):
        directory.domain(f"d{n}.example")
    assert len(reading.queries) == 3 + CACHED_DOMAINS + 100
    assert directory._domain.cache_info().currsize == CACHED_DOMAINS
    assert directory._resolved.cache_info().maxsize == CACHED_ADDRESSES
    assert directory._mailbox.cache_info().maxsize == CACHED_ADDRESSES


def test_hot_queries_search_an_index_and_never_scan_a_table(
    site: SiteStore, data_dir: Path
) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def keep(
        _c: object, _cursor: object, statement: str, parameters: tuple[str, ...], *_: object
    ) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    sa.event.listen(site.database.engine, "before_cursor_execute", keep)
    site.resolve(at("nobody+x"))
    raw = sqlite3.connect(data_dir / FILE_NAME)
    plans = [
        str(row[3])
        for statement, parameters in seen
        for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    ]
    raw.close()
    assert len(seen) == 3
    assert len(plans) >= 4
    assert not [plan for plan in plans if plan.startswith("SCAN")]


def test_database_that_cannot_answer_is_never_a_no(site: SiteStore, reading: Reading) -> None:
    with site.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE mailbox RENAME TO elsewhere"))
    reading.directory.refresh()
    for _ in range(2):  # nothing of it is remembered
        with pytest.raises(DatabaseTroubleError):
            reading.directory.resolve(at("wang"))
    with site.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO mailbox"))
    assert reading.directory.resolve(at("wang")) == locally(Via.MAILBOX, at("wang"))


def at_mx(domain: str) -> bool:
    return domain in {"mx.tea.example", "[192.0.2.25]"}


@pytest.mark.parametrize("name", ["postmaster", "PostMaster", "MAILER-DAEMON"])
@pytest.mark.parametrize("host", ["mx.tea.example", "[192.0.2.25]"])
def test_mail_for_the_hosts_own_postmaster_is_the_site_postmasters(
    directory: Directory, site: SiteStore, name: str, host: str
) -> None:
    assert directory.resolve(at(name, host)) == NotOurs(), "until it knows its host"
    directory.answer_for_host(at_mx)
    assert directory.resolve(at(name, host)) == locally(Via.POSTMASTER, at("wang"))
    assert directory.resolve(at("li", host)) == NotOurs()
    granted(site.add_alias("postmaster", [f"li@{H}"]))
    directory.refresh()
    assert directory.resolve(at(name, host)) == locally(Via.POSTMASTER, at("li"))


def test_alias_may_lead_to_the_hosts_postmaster(directory: Directory, site: SiteStore) -> None:
    granted(site.add_alias(f"help@{H}", ["postmaster@mx.tea.example"]))
    directory.answer_for_host(at_mx)
    assert directory.resolve(at("help")) == locally(Via.ALIAS, at("wang"))


def test_mailer_daemon_is_the_postmaster_where_the_host_is_a_domain_of_ours(
    directory: Directory,
) -> None:
    directory.answer_for_host(H.__eq__)
    assert directory.resolve(at("mailer-daemon")) == locally(Via.POSTMASTER, at("wang"))
    assert directory.resolve(at("nobody")) == NoSuchMailbox(H)


def test_what_mail_is_put_in_comes_with_its_limits_and_no_query_more(
    site: SiteStore, reading: Reading
) -> None:
    directory = reading.directory
    granted(
        site.set_mailbox(f"wang@{H}", MailboxPatch(quota_bytes=1000)),
        site.add_domain("catch.example"),
        site.set_domain("catch.example", DomainPatch(catch_all=at("li"))),
        site.add_alias(f"both@{H}", [f"wang@{H}", f"li@{H}", "friend@far.example"]),
    )

    def stores(address: Address) -> tuple[Store, ...]:
        directory.refresh()
        found = directory.resolve(address)
        assert isinstance(found, Resolved)
        assert found.has_quota == any(store.has_quota for store in found.stores)
        return found.stores

    wang, li = Store(at("wang"), f"{H}/wang", 1000), Store(at("li"), f"{H}/li")
    assert stores(at("wang+shop")) == (wang,)
    assert stores(at("li")) == (li,)
    assert stores(at("anyone", "catch.example")) == (li,)
    assert stores(at("both")) == (wang, li)
    granted(site.set_domain(H, DomainPatch(quota_bytes=5000)))
    assert [store.domain_quota_bytes for store in stores(at("both"))] == [5000, 5000]
    granted(site.set_domain(H, DomainPatch(quota_bytes=None)))
    assert stores(at("both")) == (wang, li)
