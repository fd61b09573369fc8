"""The reference of all settings, made from the settings themselves."""

from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from postern.config.decode import NOT_A_SETTING
from postern.config.places import Bind
from postern.config.settings import Config
from postern.config.values import Network

HEAD = """# Settings

Everything `postern.toml` may hold. The file is named by `--config`, else by `$POSTERN_CONFIG`,
else it is `./postern.toml` or `/etc/postern/postern.toml`; files in `conf.d/*.toml` beside it are
read after it, in the order of their names: tables are joined, `[[…]]` elements added, and a
setting made twice is a mistake. Relative paths start at the file's folder, those of `unix:`
listeners at `data_dir`.

`postern config check` tells every mistake with its line and how to mend it. SIGHUP makes a running
server read the file again; `listener`, `workers`, `data_dir`, `user` and `database` need a restart.

This page is printed by `postern config reference`; do not edit it by hand.
"""


def reference() -> str:
    """The whole page in Markdown, ending in one newline."""
    hints = get_type_hints(Config, include_extras=True)
    fields = [f for f in msgspec.structs.fields(Config) if f.name not in NOT_A_SETTING]
    tables = [(f, element) for f in fields if (element := _table(hints[f.name])) is not None]
    plain = [f for f in fields if _table(hints[f.name]) is None]
    parts = [HEAD, "## At the top of the file\n", _rows(Config, {f.name for f in plain})]
    for info, element in tables:
        parts.append(f"## `{_header(info.encode_name, hints[info.name])}`\n")
        parts.append(f"{_summary(element)}\n")
        parts.append(_rows(element, {f.name for f in msgspec.structs.fields(element)}))
    return "\n".join(parts)


def _header(name: str, hint: object) -> str:
    origin = get_origin(_bare(hint))
    if origin is tuple:
        return f"[[{name}]]"
    return f"[{name}.NAME]" if origin is dict else f"[{name}]"


def _summary(struct: type[Struct]) -> str:
    return (struct.__doc__ or "").strip().splitlines()[0]


def _rows(struct: type[Struct], names: set[str]) -> str:
    hints = get_type_hints(struct, include_extras=True)
    lines = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    for info in msgspec.structs.fields(struct):
        if info.name in names:
            meaning = description(hints[info.name])
            kind, default = _kind(hints[info.name]), _default(info)
            lines.append(f"| `{info.encode_name}` | {kind} | {default} | {meaning} |")
    return "\n".join([*lines, ""])


def description(hint: object) -> str:
    """What the setting is for, with its bounds; empty when nobody wrote it down."""
    found, bounds = "", []
    while get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Meta):
                found = found or note.description or ""
                bounds += _bounds(note)
    return f"{found} ({', '.join(bounds)})" if bounds and found else found


def _bounds(meta: Meta) -> list[str]:
    named = (("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le))
    return [f"{word} {bound}" for word, bound in named if bound is not None]


def _kind(hint: object) -> str:
    bare = _bare(hint)
    if bare in _KINDS:
        return _KINDS[bare]
    if get_origin(bare) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(bare))
    if get_origin(bare) is tuple:
        return f"array of {_KINDS[_bare(get_args(bare)[0])]}s"
    if get_origin(bare) is dict:
        return "table of strings"
    if get_origin(bare) in {Union, UnionType}:
        return _kind(get_args(bare)[0])
    raise TypeError(f"no words for the type {bare}")


_KINDS: dict[object, str] = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Bind: "place",
    Network: "network",
    Path: "path",
}


def _default(info: msgspec.structs.FieldInfo) -> str:
    if info.required:
        return "*required*"
    default = info.default
    if default is msgspec.NODEFAULT:
        default = info.default_factory() if callable(info.default_factory) else ""
    if default in ("", None):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float) and default.is_integer():
        return f"`{int(default)}`"
    if isinstance(default, int | float):
        return f"`{default}`"
    if isinstance(default, tuple) and default:
        return f"`{list(default)}`"
    return "" if default in ((), {}) else f'`"{default}"`'


def _bare(hint: object) -> object:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _table(hint: object) -> type[Struct] | None:
    """The struct behind a table, an array of tables or a table of tables."""
    bare = _bare(hint)
    for candidate in (bare, *get_args(bare)):
        if isinstance(candidate, type) and issubclass(candidate, Struct) and candidate is not Bind:
            return candidate
    return None
