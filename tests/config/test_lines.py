import tomllib
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from postern.config.lines import Key, Position, key_positions

TEXT = '''\
# a comment with [a] table
hostname = "mx" # and = sign
"quoted \\"key" = 1
a.b.c = { d = 1, "e" = [ { f = 2 } ] }

[[listener]]
kind = """
[[listener]]
not = "a key"
"""
bind = \'\'\'
x = 1\'\'\'
[listener.sub]
deep = true
[[listener]]
  relay_from = [
    "192.0.2.0/24",  # first
    "10.0.0.0/8",
  ]
[ scanner . "clam d" ]
socket = 'C:\\path'
'''


def test_every_key_is_found_where_it_stands() -> None:
    found = key_positions(TEXT)
    wanted: dict[Key, Position] = {
        ("hostname",): Position(2, 1),
        ('quoted "key',): Position(3, 1),
        ("a", "b", "c"): Position(4, 1),
        ("a", "b", "c", "d"): Position(4, 11),
        ("a", "b", "c", "e", 0, "f"): Position(4, 28),
        ("listener",): Position(6, 1),
        ("listener", 0): Position(6, 1),
        ("listener", 0, "kind"): Position(7, 1),
        ("listener", 0, "bind"): Position(11, 1),
        ("listener", 0, "sub", "deep"): Position(14, 1),
        ("listener", 1): Position(15, 1),
        ("listener", 1, "relay_from"): Position(16, 3),
        ("listener", 1, "relay_from", 1): Position(18, 5),
        ("scanner", "clam d"): Position(20, 1),
        ("scanner", "clam d", "socket"): Position(21, 1),
    }
    assert {key: found.get(key) for key in wanted} == wanted


def test_keys_in_multi_line_strings_are_none() -> None:
    assert ("listener", 0, "not") not in key_positions(TEXT)
    assert ("x",) not in key_positions(TEXT)


def test_windows_line_ends_count_as_one() -> None:
    assert key_positions("a = 1\r\nb = 2\r\n")[("b",)] == Position(2, 1)


def keys_of(value: object, key: Key = ()) -> Iterator[Key]:
    """The key of everything in a parsed file, except within arrays of plain values."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*key, name)
            yield from keys_of(inner, (*key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield (*key, index)
            yield from keys_of(inner, (*key, index))


def test_scanner_and_tomllib_find_the_same_keys() -> None:
    assert set(keys_of(tomllib.loads(TEXT))) <= set(key_positions(TEXT))


PIECES = st.sampled_from(
    ["[a]", "[[l]]", "x = 1", "y.z = 2", 'k = "#"', "v = '''\n[q]\n'''", "[l.in]", "# c", "",
     "t = { u = [1, { w = 2 }] }", 'm = """\\""""', 'n = """a""""', "d = 1979-05-27 07:32:00"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12))
def test_every_key_of_any_valid_file_has_a_place(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(keys_of(parsed)) <= set(key_positions(text))
