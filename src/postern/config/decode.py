"""From TOML's tables to the frozen settings, collecting every mistake instead of the first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec

from postern.config.lines import Key
from postern.config.places import Bind, parse_bind
from postern.config.settings import Config
from postern.config.values import Network

NOT_A_SETTING = frozenset({"source"})
"""Fields of ``Config`` itself that no file can set; ``[[egress]]`` has a source of its own."""

Toml = str | int | float | bool | list["Toml"] | dict[str, "Toml"] | object
_NOTHING = object()
_SECRETS = {"password", "secret", "passwd", "token"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A key whose value will not do; ``key`` is where, or where it is missing."""

    key: Key
    text: str
    fix: str = ""


@dataclass(slots=True)
class Decoder:
    """Reads tables into structs; relative paths start from ``folder``."""

    folder: Path
    mistakes: list[Mistake] = field(default_factory=list)

    def table(self, struct: type[msgspec.Struct], table: Mapping[str, Toml], key: Key) -> object:
        """The struct that ``table`` describes, or nothing usable once a mistake was noted."""
        hints = get_type_hints(struct, include_extras=True)
        fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
        if struct is Config:
            for name in NOT_A_SETTING:
                del fields[name]
        for name in table:
            if name not in fields:
                self._unknown(name, list(fields), key)
        values: dict[str, object] = {}
        for name, info in fields.items():
            if name in table:
                value = self.value(hints[info.name], table[name], (*key, name))
                if value is not _NOTHING:
                    values[info.name] = value
            elif info.required:
                about = _description(hints[info.name])
                self.mistakes.append(Mistake(key, f"{name!r} is missing", f"{name}: {about}"))
        missing = {f.name for f in fields.values() if f.required} - set(values)
        return _NOTHING if missing else struct(**values)

    def value(self, hint: object, value: Toml, key: Key) -> object:
        """``value`` as the type that ``hint`` asks for."""
        plain = _without_annotation(hint)
        reader = _READERS.get(plain)
        if reader is not None:
            return self._text(reader, value, key)
        if get_origin(plain) is tuple:
            return self._sequence(get_args(plain)[0], value, key)
        if get_origin(plain) is dict:
            return self._mapping(get_args(plain)[1], value, key)
        if get_origin(plain) is Literal:
            return self._choice(get_args(plain), value, key)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            if isinstance(value, dict):
                return self.table(plain, value, key)
            return self._wrong(key, f"expected a table, got {_kind(value)}")
        try:
            if isinstance(value, float) and not isfinite(value):
                return self._wrong(key, "expected a number that ends somewhere")
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            return self._wrong(key, _plainly(str(error)))

    def _choice(self, choices: tuple[str, ...], value: Toml, key: Key) -> object:
        if value in choices:
            return value
        nearest = get_close_matches(str(value), choices, n=1)
        return self._wrong(
            key,
            f"expected one of {', '.join(map(repr, choices))}, got {value!r}",
            f"did you mean {nearest[0]!r}?" if nearest else "",
        )

    def _sequence(self, hint: object, value: Toml, key: Key) -> object:
        if not isinstance(value, list):
            return self._wrong(
                key,
                f"expected an array, got {_kind(value)}",
                f"[[{key[-1]}]] starts an element" if isinstance(value, dict) else "[ ] around it",
            )
        found = [self.value(hint, element, (*key, i)) for i, element in enumerate(value)]
        return tuple(element for element in found if element is not _NOTHING)

    def _mapping(self, hint: object, value: Toml, key: Key) -> object:
        if not isinstance(value, dict):
            return self._wrong(key, f"expected a table, got {_kind(value)}")
        found = {name: self.value(hint, value[name], (*key, name)) for name in value}
        return {name: element for name, element in found.items() if element is not _NOTHING}

    def _text(self, reader: Callable[[str, Path], object], value: Toml, key: Key) -> object:
        if not isinstance(value, str):
            return self._wrong(key, f"expected a string, got {_kind(value)}")
        try:
            return reader(value, self.folder)
        except ValueError as error:
            return self._wrong(key, str(error))

    def _wrong(self, key: Key, text: str, fix: str = "") -> object:
        self.mistakes.append(Mistake(key, text, fix))
        return _NOTHING

    def _unknown(self, name: str, known: list[str], key: Key) -> None:
        nearest = get_close_matches(name, known, n=1)
        homes = [table for table, keys in _tables().items() if name in keys]
        if name in _SECRETS:
            fix = "secrets stay out of this file: name a file that holds it with 'password_file'"
        elif nearest:
            fix = f"did you mean {nearest[0]!r}?"
        elif homes:
            fix = f"it belongs under {homes[0]}"
        else:
            fix = f"known here: {', '.join(sorted(known))}"
        self.mistakes.append(Mistake((*key, name), "there is no such setting", fix))


def decode(tables: Mapping[str, Toml], folder: Path) -> tuple[Config | None, list[Mistake]]:
    """The configuration in ``tables``, or None and the mistakes that stand in its way."""
    decoder = Decoder(folder)
    config = decoder.table(Config, tables, ())
    usable = isinstance(config, Config) and not decoder.mistakes
    return (config if isinstance(config, Config) and usable else None), decoder.mistakes


def _network(text: str, _folder: Path) -> object:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected a network like '192.0.2.0/24': {error}") from None


def _bind(text: str, _folder: Path) -> object:
    return parse_bind(text)


def _path(text: str, folder: Path) -> object:
    if not text or "\0" in text:
        raise ValueError("expected the path of a file or folder")
    return folder / Path(text).expanduser()


_READERS: dict[object, Callable[[str, Path], object]] = {
    Bind: _bind,
    Path: _path,
    Path | None: _path,
    Network: _network,
    IPv4Network | IPv6Network: _network,
}


def _without_annotation(hint: object) -> object:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _description(hint: object) -> str:
    found = ""
    while get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        found = found or next((n.description for n in notes if n.description), "")
    return found


def _kind(value: Toml) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    names |= {list: "an array", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")


def _plainly(message: str) -> str:
    """A msgspec message in words."""
    text = message.partition(" - at `$")[0]
    for word, plain in _WORDS.items():
        text = text.replace(word, plain)
    return text[:1].lower() + text[1:]


_WORDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "a string",
    "`bool`": "true or false",
    "`array`": "an array",
    "`object`": "a table",
}


def _tables() -> dict[str, set[str]]:
    """Every table of the file with the names of its settings."""
    found: dict[str, set[str]] = {}
    hints = get_type_hints(Config)
    for info in msgspec.structs.fields(Config):
        plain = hints[info.name]
        element = next((a for a in get_args(plain) if _is_struct(a)), plain)
        if _is_struct(element):
            is_array = get_origin(plain) is tuple
            name = f"[[{info.encode_name}]]" if is_array else f"[{info.encode_name}]"
            found[name] = {f.encode_name for f in msgspec.structs.fields(element)}
    found["no table, at the top of the file"] = {
        f.encode_name
        for f in msgspec.structs.fields(Config)
        if f"[{f.encode_name}]" not in found and f"[[{f.encode_name}]]" not in found
    } - NOT_A_SETTING
    return found


def _is_struct(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct) and hint is not Bind
