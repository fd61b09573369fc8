"""Hosted mail providers by the names of their mail hosts: a table that ships, and may be edited.

What a table may say stands at the top of ``providers.toml`` beside this module.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).with_name("providers.toml")
MAX_PROVIDERS = 2000
MAX_NAMES = 200
"""Names of one provider."""

_GROUP = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9_.-]{1,253}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_RESERVED = frozenset({"local"})
ANY = "*"

Key = tuple[str | int, ...]
Labels = tuple[str, ...]
Names = Mapping[str, tuple[str, ...]]
"""A provider's host names by its own name."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a table, at ``key``, and how to mend it."""

    key: Key
    text: str
    fix: str = ""


class Providers:
    """Knows whose a mail host is."""

    __slots__ = ("_by_end", "names")

    def __init__(self, names: Names) -> None:
        self.names = names
        self._by_end: dict[Labels, list[tuple[Labels, str]]] = {}
        for provider, hosts in names.items():
            for host in hosts:
                labels = tuple(host.split("."))
                self._by_end.setdefault(labels[-2:], []).append((labels, provider))
        for listed in self._by_end.values():
            # The longest first; among equals one without a star.
            listed.sort(key=lambda entry: (-len(entry[0]), ANY in entry[0], entry))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Providers) and self.names == other.names

    def __hash__(self) -> int:
        return hash(tuple(self.names))

    def of_hosts(self, hosts: Iterable[str]) -> str | None:
        """The provider of these mail hosts (lower case), if all of them are one provider's."""
        found = {self.of_host(host) for host in hosts}
        return found.pop() if len(found) == 1 else None

    def of_host(self, host: str) -> str | None:
        """Whose a host is; None: nobody's who is listed."""
        # A label may hold a dot of its own, written "\\.": nothing like that is a provider's.
        if not _HOST.fullmatch(host):
            return None
        labels = tuple(host.split("."))
        for listed, provider in self._by_end.get(labels[-2:], ()):
            end = labels[-len(listed) :]
            if len(end) == len(listed) and all(map(_fits, listed, end)):
                return provider
        return None


def _fits(listed: str, label: str) -> bool:
    return listed in (ANY, label)


@cache
def shipped() -> Providers:
    """The table that ships."""
    names, mistakes = read_table(SHIPPED.read_text("utf-8"))
    assert not mistakes, mistakes
    return Providers(names)


def with_own(text: str) -> tuple[Providers, list[Mistake]]:
    """The shipped table with a site's own on top, and what is wrong in its own."""
    own, mistakes = read_table(text)
    merged = {**shipped().names, **own}
    return Providers({name: hosts for name, hosts in merged.items() if hosts}), mistakes


def read_table(text: str) -> tuple[dict[str, tuple[str, ...]], list[Mistake]]:
    """A table's host names by provider, as far as they are right, and what is wrong.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML.
    """
    names: dict[str, tuple[str, ...]] = {}
    mistakes: list[Mistake] = []
    tables = tomllib.loads(text)
    if len(tables) > MAX_PROVIDERS:
        return {}, [Mistake((), f"more than {MAX_PROVIDERS} providers")]
    for name, table in tables.items():
        found = _provider(name, table)
        mistakes += found
        if not found:
            names[name] = tuple(host.removesuffix(".").lower() for host in table["mx"])
    return names, mistakes


def _provider(name: str, table: object) -> list[Mistake]:
    if not isinstance(table, dict):
        return [Mistake((name,), "expected a table of a provider", f'[{name}]\n    mx = ["…"]')]
    mistakes = []
    if not _GROUP.fullmatch(name) or name in _RESERVED:
        # Groups without a provider are called by host names: those have a dot.
        fix = "a name such as 'tea-mail'"
        mistakes.append(Mistake((name,), "expected letters, digits and hyphens, at most 32", fix))
    mistakes += [
        Mistake((name, key), "there is no such setting", "known here: mx")
        for key in table
        if key != "mx"
    ]
    hosts = table.get("mx")
    if not isinstance(hosts, list) or len(hosts) > MAX_NAMES:
        text = f"expected an array of at most {MAX_NAMES} names of mail hosts"
        return [*mistakes, Mistake((name, "mx"), text, 'mx = ["mx.provider.example"]')]
    for number, host in enumerate(hosts):
        if wrong := _wrong_with(host):
            fix = '"mx.provider.example" is that host and all below it'
            mistakes.append(Mistake((name, "mx", number), wrong, fix))
    return mistakes


def _wrong_with(host: object) -> str:
    if not isinstance(host, str) or len(host) > 253:
        return "expected the name of a mail host"
    labels = host.removesuffix(".").lower().split(".")
    if any(label != ANY and not _LABEL.fullmatch(label) for label in labels):
        return f"expected the name of a mail host, with * in place of whole labels, got {host!r}"
    if len(labels) < 2 or ANY in labels[-2:]:
        return f"{host!r} would take in strangers: at least two labels that say whose it is"
    return ""
