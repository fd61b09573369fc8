"""DKIM keys of domains: kept, found for an author, set to work once their record is seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.test_site import H, refusal
from tests.mail.dkim.stand import ed25519_key, pem, rsa_key

from postern.directory.dkim import DkimKey, KeyState, Published, look_up, new_ed25519_key
from postern.directory.model import Domain, Problem, Refused
from postern.directory.publication import Publication
from postern.directory.signers import Signers
from postern.directory.store.dkim import MAX_KEYS, DkimStore
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.directory.store.tables import dkim_key
from postern.mail.address import Address
from postern.mail.dns import Answer, Question
from postern.runtime.clock import FakeClock
from postern.runtime.database.engine import Database
from postern.runtime.resolver.fake import FakeResolver

LETTER = b"From: wang@harbour.example\r\nSubject: x\r\n\r\nhi\r\n"
HEADER_END = LETTER.index(b"hi")


@pytest.fixture
def store(site: SiteStore, clock: FakeClock) -> DkimStore:
    assert isinstance(site.add_domain(H), Domain)
    return DkimStore(site.database, clock, "cli:wang")


@pytest.fixture
def signers(data_dir: Path) -> Iterator[Signers]:
    database = Database.open(data_dir / FILE_NAME)
    yield Signers(database)
    database.close()


def made(store: DkimStore, selector: str = "", state: KeyState = KeyState.ACTIVE) -> DkimKey:
    key = store.add(H, pem(ed25519_key(len(selector))), selector, state)
    assert isinstance(key, DkimKey)
    return key


def test_key_comes_back_as_it_was_added_and_is_in_the_change_log(
    store: DkimStore, site: SiteStore
) -> None:
    key = store.add(H, pem(rsa_key()))
    assert isinstance(key, DkimKey)
    assert (key.selector, key.kind, key.bits, key.state) == (
        "p2025a",
        "rsa",
        2048,
        KeyState.WAITING,
    )
    assert store.key("HARBOUR.example", "P2025A") == key
    assert site.changes()[-1].noun == "dkim"
    assert "PRIVATE" not in site.changes()[-1].values
    assert "PRIVATE" not in repr(key)
    second = store.add(H, new_ed25519_key())
    assert isinstance(second, DkimKey)
    assert (second.selector, second.kind) == ("p2025b", "ed25519")


def test_a_name_that_older_keys_bore_is_not_given_again(store: DkimStore) -> None:
    keys = [store.add(H, new_ed25519_key()) for _ in range(2)]
    assert [key.selector for key in keys if isinstance(key, DkimKey)] == ["p2025a", "p2025b"]
    assert isinstance(store.remove(H, "p2025a"), DkimKey)
    third = store.add(H, new_ed25519_key())
    assert isinstance(third, DkimKey)
    assert third.selector == "p2025c"


def test_what_is_no_key_is_refused_and_so_is_a_selector_that_is_taken(store: DkimStore) -> None:
    made(store, "mail")
    assert "PEM" in refusal(store.add(H, b"nothing"), Problem.MALFORMED)
    again = store.add(H, pem(ed25519_key()), "MAIL")
    assert "already" in refusal(again, Problem.ALREADY_THERE)
    bad = store.add(H, pem(ed25519_key()), "a b; v=1")
    assert "selector" in refusal(bad, Problem.MALFORMED)
    assert "no domain" in refusal(store.add("far.example", b""), Problem.NOT_THERE)
    assert "mail" in refusal(store.key(H, "mial"), Problem.NOT_THERE)


def test_a_domain_has_so_many_keys_and_no_more(store: DkimStore) -> None:
    for number in range(MAX_KEYS):
        made(store, f"k{number}")
    full = store.add(H, pem(ed25519_key()))
    assert f"{MAX_KEYS} keys" in refusal(full, Problem.NOT_ALLOWED)


def test_keys_go_with_their_domain(store: DkimStore, site: SiteStore) -> None:
    made(store)
    assert not isinstance(site.remove_domain(H), Refused)
    assert not isinstance(site.add_domain(H), Refused)
    assert list(store.keys(H)) == []  # type: ignore[arg-type]  # the domain is there


def test_only_active_keys_sign_and_a_change_holds_once_it_is_told(
    store: DkimStore, signers: Signers
) -> None:
    key = made(store, state=KeyState.WAITING)
    assert signers.of(H) == ()
    store.set_state(H, key.selector, KeyState.ACTIVE)
    assert signers.of(H) == ()
    signers.forget()
    (signer,) = signers.of(H)
    assert (signer.domain, signer.selector) == (H, key.selector)
    store.set_state(H, key.selector, KeyState.RETIRED)
    signers.forget()
    assert signers.of(H) == ()


def test_a_subdomain_is_signed_for_by_the_domain_above_it_and_a_stranger_by_nobody(
    store: DkimStore, signers: Signers
) -> None:
    made(store)
    assert [signer.domain for signer in signers.of(f"news.{H}")] == [H]
    assert signers.of("example") == ()
    assert signers.of("far.example") == ()


def test_the_author_is_signed_for_and_only_without_one_the_sender(
    store: DkimStore, signers: Signers
) -> None:
    made(store)
    stranger = Address("li", "far.example")
    wang = Address("wang", H)
    assert signers.begin(LETTER, HEADER_END, stranger) is not None
    foreign = LETTER.replace(b"harbour.", b"far.")
    assert signers.begin(foreign, HEADER_END, wang) is None
    without = LETTER.replace(b"From: wang@harbour.example\r\n", b"")
    assert signers.begin(without, without.index(b"hi"), wang) is not None
    assert signers.sign(LETTER, 1.0).startswith(b"DKIM-Signature: v=1; a=ed25519-sha256;")
    assert signers.sign(foreign, 1.0) == b""


@pytest.mark.parametrize(
    "fields",
    [
        b"From: wang@harbour.example\r\nFrom: li@far.example\r\n",
        b"From: li@far.example\r\nFrom: wang@harbour.example\r\n",
        b"From: wang@harbour.example li@far.example\r\n",
        b"From: Ann <ann@\r\n",
    ],
)
def test_nobody_signs_for_an_author_whom_readers_may_not_agree_about(
    store: DkimStore, signers: Signers, fields: bytes
) -> None:
    made(store)
    letter = fields + b"\r\nhi\r\n"
    assert signers.begin(letter, letter.index(b"hi"), Address("wang", H)) is None


@pytest.mark.parametrize(
    ("record", "published"),
    [
        (None, Published.NO),
        ("own", Published.YES),
        ("v=DKIM1; k=ed25519; p=", Published.OTHER),
        ("v=DKIM1; k=rsa; p=AAAA", Published.OTHER),
    ],
    ids=["none", "own", "revoked", "another"],
)
async def test_record_in_dns_is_this_keys_or_not(
    store: DkimStore, record: str | None, published: Published
) -> None:
    key = made(store)
    resolver = FakeResolver()
    if record is not None:
        text = key.record_text if record == "own" else record
        resolver.add(key.record_name, "TXT", "v=spf1 -all", text)
    assert await look_up(resolver, key) is published
    resolver.fail(key.record_name, "TXT")
    assert await look_up(resolver, key) is Published.COULDNT_TELL


async def test_key_signs_once_its_record_is_seen_and_is_looked_for_less_and_less(
    store: DkimStore, clock: FakeClock
) -> None:
    key = made(store, state=KeyState.WAITING)
    resolver = FakeResolver()
    publication = Publication(store, lambda: resolver, clock)
    await publication.look()
    await publication.look()
    assert len(resolver.queries) == 1
    clock.advance(3600.0)
    await publication.look()
    clock.advance(300.0)
    await publication.look()
    assert len(resolver.queries) == 2
    resolver.add(key.record_name, "TXT", key.record_text)
    clock.advance(60.0)
    await publication.look()
    found = store.key(H, key.selector)
    assert isinstance(found, DkimKey)
    assert (found.state, found.since) == (KeyState.ACTIVE, clock.now())
    clock.advance(86_400.0)
    await publication.look()
    assert len(resolver.queries) == 3


async def test_key_that_was_retired_while_dns_was_asked_stays_retired(
    store: DkimStore, clock: FakeClock
) -> None:
    key = made(store, state=KeyState.WAITING)

    class Retiring(FakeResolver):
        async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
            store.set_state(H, key.selector, KeyState.RETIRED)
            return await super().ask(question, foreign_ok=foreign_ok)

    resolver = Retiring()
    resolver.add(key.record_name, "TXT", key.record_text)
    await Publication(store, lambda: resolver, clock).look()
    assert [one.state for one in store.keys(H)] == [KeyState.RETIRED]  # type: ignore[union-attr]  # the domain is there


async def test_damaged_key_does_not_keep_the_others_waiting(
    store: DkimStore, site: SiteStore, clock: FakeClock
) -> None:
    broken, whole = made(store, "a", KeyState.WAITING), made(store, "bb", KeyState.WAITING)
    with site.database.write() as connection:
        gone = {"pem": "-----BEGIN"}
        connection.execute(dkim_key.update().where(dkim_key.c.id == broken.id).values(gone))
    resolver = FakeResolver()
    for key in (broken, whole):
        resolver.add(key.record_name, "TXT", key.record_text)
    await Publication(store, lambda: resolver, clock).look()
    found = store.key(H, whole.selector)
    assert isinstance(found, DkimKey)
    assert found.state is KeyState.ACTIVE


def test_a_site_without_active_keys_does_not_look_who_the_author_is(
    store: DkimStore, signers: Signers, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(store, state=KeyState.WAITING)
    asked: list[str] = []

    def of(domain: str) -> tuple[()]:
        asked.append(domain)
        return ()

    monkeypatch.setattr(signers, "of", of)
    assert signers.begin(LETTER, HEADER_END, None) is None
    assert asked == []
    store.set_state(H, key.selector, KeyState.ACTIVE)
    signers.forget()
    assert signers.begin(LETTER, HEADER_END, None) is None
    assert asked == [H]
