"""Runs every ``*.smtp`` script beside this file against a live reception.

    # a comment                      [listener submission]   which listener; mx when none is named
    C: what the client sends         [relay_from]            the listener relays for loopback
    S: what the server must answer   [proxy_protocol]        the listener wants a PROXY header
    [alias sales wang li]            [limit max_hops=3]      one of reception's settings
    [examines]                       198.51.100.24 is looked at, and nothing speaks against it
    [rule block @far.example li]     a rule of that mailbox
    [tls]                            shake hands now
    [closed]                         the server must have closed the connection
    [accepted 2]                     so many messages were accepted
    [stored *glob*]                  the last of them looks like this, line ends and folds made one
    [because rcpt.unknown]           what the last conversation was refused for

A ``C:`` line is sent with CR LF; Python's escapes (``\\n``, ``\\x00``) work, and one that ends in
``\\`` is sent without CR LF. ``C:`` lines that follow each other are sent at once. ``{bytes:5000}``
is so many x. ``S:`` lines are globs; ``PT-????-????`` is a trace code.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import uvloop
from tests.peers.certificates import Authority
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener, make_site
from tests.reception.test_hearing import CLEAN, rule

from postern.directory.store.site import FILE_NAME
from postern.policy.rules.rule import Action
from postern.reception.settings import Kind
from postern.reception.tls import CertificateFiles

SCRIPTS = sorted(Path(__file__).parent.glob("*.smtp"))
DIRECTIVE = re.compile(r"\[(\w+)(?: (.*))?\]")
BULK = re.compile(r"\{bytes:(\d+)\}")
SETTING_UP = {"listener", "relay_from", "proxy_protocol", "limit", "alias", "examines", "rule"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that workers use."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def make_parts(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> tuple[Path, CertificateFiles]:
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    pair = authority.issue("mx.harbour.example")
    return folder / FILE_NAME, CertificateFiles(pair.cert, pair.key)


class Script:
    """One script: what must be set up, and what is said."""

    def __init__(self, path: Path) -> None:
        self.setup: list[tuple[str, str]] = []
        self.steps: list[tuple[str, str]] = []
        for line in path.read_text("utf-8").splitlines():
            if not line or line.startswith("#"):
                continue
            if line[:2] in {"C:", "S:"}:
                self.steps.append((line[0], line[2:].removeprefix(" ")))
                continue
            directive = DIRECTIVE.fullmatch(line)
            assert directive, f"{path.name}: neither a line nor a directive: {line}"
            word, rest = directive[1], directive[2] or ""
            (self.setup if word in SETTING_UP else self.steps).append((word, rest))

    def values(self, word: str) -> list[str]:
        return [rest for name, rest in self.setup if name == word]


def octets(text: str) -> bytes:
    """What a ``C:`` line stands for."""
    text = BULK.sub(lambda match: "x" * int(match[1]), text)
    is_whole = not text.endswith("\\")
    line = text.removesuffix("\\").encode("utf-8").decode("latin-1")
    data = re.sub(r"\\(x..|[rnt0\\])", lambda m: m[0].encode().decode("unicode_escape"), line)
    return data.encode("latin-1") + (b"\r\n" if is_whole else b"")


class Performance:
    """One script being played."""

    def __init__(self, rig: Rig, client: Client, trusting: ssl.SSLContext) -> None:
        self.rig = rig
        self.client = client
        self.trusting = trusting
        self.unsent = b""

    async def play(self, steps: list[tuple[str, str]]) -> None:
        for number, (word, rest) in enumerate(steps):
            if word == "C":
                self.unsent += octets(rest)
                continue
            if self.unsent:
                self.client.writer.write(self.unsent)
                self.unsent = b""
            try:
                await self.step(word, rest)
            except TimeoutError:
                pytest.fail(f"no answer at step {number + 1}: {word} {rest}")

    async def step(self, word: str, rest: str) -> None:
        match word:
            case "S":
                async with asyncio.timeout(10):
                    line = (await self.client.reader.readline()).decode().rstrip("\r\n")
                assert fnmatchcase(line, rest.replace("[", "[[]")), f"{line!r} is not {rest!r}"
            case "tls":
                async with asyncio.timeout(10):
                    await self.client.writer.start_tls(
                        self.trusting, server_hostname="mx.harbour.example"
                    )
            case "closed":
                assert await self.client.ended() == b""
            case "accepted":
                assert len(self.rig.accepted) == int(rest)
            case "stored":
                content = self.rig.accepted[-1].content.in_memory
                assert content is not None
                text = content.replace(b"\r\n\t", b" ").decode("utf-8", "replace")
                wanted = rest.encode("latin-1", "replace").decode("unicode_escape")
                assert fnmatchcase(text, wanted.replace("[", "[[]")), text
            case "because":
                await self.client.close()
                await self.rig.wait_idle()
                because = self.rig.told[-1].because
                assert because is not None
                assert because.check == rest
            case _:
                pytest.fail(f"unknown directive [{word}]")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_dialogue(
    path: Path,
    tmp_path: Path,
    make_parts: tuple[Path, CertificateFiles],
    authority: Authority,
) -> None:
    script = Script(path)
    kinds = script.values("listener") or ["mx"]
    one = listener(
        Kind(kinds[0]),
        LOOPBACK if script.values("proxy_protocol") else (),
        LOOPBACK if script.values("relay_from") else (),
    )
    limits = dict(limit.split("=") for limit in script.values("limit"))
    numbers = {
        name: True if n == "yes" else float(n) if "." in n else int(n) for name, n in limits.items()
    }
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    examines = bool(script.values("examines"))
    async with Make(tmp_path, *make_parts)(one, settings=numbers, examines=examines) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        for words in script.values("rule"):
            action, about, who = words.split()
            rule(rig, Action(action), about, f"{who}@harbour.example")
        for alias in script.values("alias"):
            name, *targets = (f"{word}@harbour.example" for word in alias.split())
            rig.site.add_alias(name, targets)
        client = await rig.connect()
        await Performance(rig, client, trusting).play(script.steps)


def test_there_is_a_script_for_every_kind_of_behaviour() -> None:
    assert len(SCRIPTS) >= 25
