"""List-Id (RFC 2919)."""

import pytest

from postern.mail.message.listid import list_id


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b" List Header Mailing List <list-header.nisto.com>", "list-header.nisto.com"),
        (b" <commonspace-users.list-id.within.com>", "commonspace-users.list-id.within.com"),
        (b' "Lena\'s Personal Joke List" <lenas-jokes.da39efc25c530ad145.X.Example>\r\n',
         "lenas-jokes.da39efc25c530ad145.x.example"),
        (b" folded\r\n <tea.example>", "tea.example"),
        (b" no brackets", ""),
        (b" <two words.example>", ""),
        (b" <tea.example> trailing words", ""),
        (b" <" + b"a" * 256 + b">", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_identifier_is_what_stands_in_the_last_brackets(value: bytes, wanted: str) -> None:
    assert list_id(value) == wanted
