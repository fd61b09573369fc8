"""Commands called as a shell calls them, in this process."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def whole(self) -> dict[str, object]:
        content = json.loads(self.out)
        assert content["schema"] == 1
        return dict(content)

    def json(self, key: str) -> dict[str, object]:
        content = json.loads(self.out)
        assert content["schema"] == 1
        assert isinstance(content[key], dict)
        return dict(content[key])

    def rows(self, key: str) -> list[dict[str, object]]:
        found = self.whole[key]
        assert isinstance(found, list)
        return [dict(one) for one in found]

    def names(self, key: str, name: str) -> list[str]:
        content = json.loads(self.out)
        assert content["schema"] == 1
        return [item[name] for item in content[key]]


class Terminal(io.TextIOWrapper):
    """Standard input with a person in front of it."""

    def isatty(self) -> bool:
        return True


Postern = Callable[..., Said]
