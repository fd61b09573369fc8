"""The walk from an address to its destinations always ends, within its bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from postern.directory.expand import (
    MAX_DEPTH,
    MAX_DESTINATIONS,
    MAX_STEPS,
    Entry,
    Fork,
    Walk,
    resolve,
    step,
)
from postern.directory.model import Domain, Mailbox
from postern.directory.resolution import NoSuchMailbox, Resolved, Via
from postern.mail.address import Address

D = "d.example"


@dataclass
class Tables:
    """A source in memory, for one domain."""

    boxes: set[str] = field(default_factory=set)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    catch_all: str | None = None
    postmaster: tuple[Address, ...] = ()
    asked: int = 0

    def domain(self, name: str) -> Domain | None:
        target = Address(self.catch_all, D) if self.catch_all else None
        return Domain("d", D, 0.0, catch_all=target) if name == D else None

    def entries(self, domain: Domain, keys: tuple[str, ...]) -> Mapping[str, Entry]:
        self.asked += 1
        found = {}
        for key in keys:
            box = Mailbox(key, Address(key, domain.name), 0.0) if key in self.boxes else None
            targets = tuple(Address(*target.split("@")) for target in self.aliases.get(key, []))
            if box or targets:
                found[key] = Entry(box, targets)
        return found

    def site_postmaster(self) -> tuple[Address, ...]:
        return self.postmaster

    def is_this_host(self, domain: str) -> bool:
        return False

    def first_mailbox(self) -> Address | None:
        return Address(min(self.boxes), D) if self.boxes else None


def places(resolution: object) -> list[str]:
    assert isinstance(resolution, Resolved)
    return [str(destination.address) for destination in resolution.destinations]


def chain(length: int) -> Tables:
    """``a1`` leads through ``length`` aliases to the mailbox ``end``."""
    hops = {f"a{n}": [f"a{n + 1}@{D}"] for n in range(1, length)}
    return Tables({"end"}, hops | {f"a{length}": [f"end@{D}"]})


def test_chain_as_long_as_the_bound_arrives() -> None:
    assert places(resolve(chain(MAX_DEPTH), Address("a1", D))) == ["end@d.example"]


def test_longer_chain_is_cut_and_says_so() -> None:
    tables = chain(MAX_DEPTH + 1)
    assert resolve(tables, Address("a1", D)) == NoSuchMailbox(D)
    first = step(tables, Address("a1", D))
    assert isinstance(first, Fork)
    walk = Walk(tables)
    walk.fork(first, depth=1)
    assert walk.cut_short


def test_destinations_are_bounded_and_none_comes_twice() -> None:
    many = [f"u{n}@out.example" for n in range(MAX_DESTINATIONS)]
    tables = Tables(
        aliases={
            "all": [f"one@{D}", f"two@{D}"],
            "one": [*many, many[0]],
            "two": ["late@x.example"],
        }
    )
    found = resolve(tables, Address("all", D))
    assert len(places(found)) == len(set(places(found))) == MAX_DESTINATIONS
    assert isinstance(found, Resolved)
    assert found.cut_short


def test_diamond_is_no_circle() -> None:
    tables = Tables(
        {"end"}, {"top": [f"l@{D}", f"r@{D}"], "l": [f"end@{D}"], "r": [f"END+x@{D}", f"l@{D}"]}
    )
    found = resolve(tables, Address("top", D))
    assert places(found) == ["end@d.example"]
    assert isinstance(found, Resolved)
    assert not found.cut_short


def test_circle_delivers_what_hangs_on_it_and_is_named() -> None:
    tables = Tables({"end"}, {"a": [f"b@{D}", f"end@{D}"], "b": [f"c@{D}"], "c": [f"a@{D}"]})
    found = resolve(tables, Address("b", D))
    assert places(found) == ["end@d.example"]
    first = step(tables, Address("b", D))
    assert isinstance(first, Fork)
    walk = Walk(tables)
    walk.fork(first, depth=1)
    assert walk.circle is not None
    assert [node.local for node in walk.circle] == ["b", "c", "a", "b"]


def test_catch_all_that_points_to_nobody_ends() -> None:
    assert resolve(Tables(catch_all="gone"), Address("x", D)) == NoSuchMailbox(D)


def test_outside_addresses_differ_by_the_case_of_their_local_part() -> None:
    tables = Tables(aliases={"a": ["Li@out.example", "li@out.example", "Li@out.example"]})
    assert places(resolve(tables, Address("a", D))) == ["Li@out.example", "li@out.example"]


LOCALS = st.sampled_from(["a", "b", "c", "d", "e", "postmaster"])
TARGETS = st.builds(
    lambda local, tag, domain: f"{local}{tag}@{domain}",
    LOCALS,
    st.sampled_from(["", "+t"]),
    st.sampled_from([D, D, "out.example"]),
)


@given(
    st.sets(LOCALS),
    st.dictionaries(LOCALS, st.lists(TARGETS, min_size=1, max_size=6)),
    st.none() | LOCALS,
    LOCALS,
)
def test_every_directory_however_tangled_gives_an_answer_within_bounds(
    boxes: set[str], aliases: dict[str, list[str]], catch_all: str | None, asked: str
) -> None:
    tables = Tables(boxes, aliases, catch_all, (Address("postmaster", D), Address("a", D)))
    found = resolve(tables, Address(asked, D))
    assert tables.asked <= MAX_STEPS + 10
    if isinstance(found, Resolved):
        assert found.destinations
        assert len(set(places(found))) == len(found.destinations)
        for destination in found.destinations:
            if destination.local:
                assert destination.address.local.partition("+")[0] in boxes
            else:
                assert destination.address.domain == "out.example"


@given(st.sets(LOCALS, min_size=1), st.dictionaries(LOCALS, st.lists(TARGETS, max_size=3)))
def test_postmaster_is_always_valid_while_there_is_one_mailbox(
    boxes: set[str], aliases: dict[str, list[str]]
) -> None:
    found = resolve(Tables(boxes, aliases), Address("PostMaster", D))
    assert isinstance(found, Resolved)
    assert found.via in set(Via)
