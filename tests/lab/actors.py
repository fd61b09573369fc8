"""The play's side of the MX hosts: start them, tell them how to behave, ask what they saw."""

import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.lab.behaviour import GOOD, Behave, Behaviour, LetGo, Letter, Request, Seen, Tell, Visit
from tests.lab.namespace import Namespace
from tests.peers.certificates import KeyPair, self_signed
from tests.peers.process import Server, short_folder, wait_until

PORT = 25
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Actors:
    """All MX hosts of one world. What they saw is fetched bit by bit and kept."""

    server: Server
    control: socket.socket
    letters_seen: list[Letter] = field(default_factory=list)
    visits_seen: dict[int, Visit] = field(default_factory=dict)
    _changes: int = 0
    _buffer: bytes = b""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def behave(self, addresses: Iterable[str], behaviour: Behaviour = GOOD) -> None:
        """From now on these addresses behave so; without a behaviour: well."""
        self._ask(Behave(tuple(addresses), behaviour))

    def let_go(self, addresses: Iterable[str], *, resets: bool = False) -> None:
        """Give the replies that ``holds_dot`` has kept back; ``resets``: reset instead."""
        self._ask(LetGo(tuple(addresses), resets))

    def letters(self, *addresses: str) -> list[Letter]:
        """What these addresses took (all of them where none is named), in its order."""
        self._look()
        return [one for one in self.letters_seen if not addresses or one.ip in addresses]

    def visits(self, *addresses: str) -> list[Visit]:
        """The connections to these addresses, in their order."""
        self._look()
        found = (self.visits_seen[number] for number in sorted(self.visits_seen))
        return [one for one in found if not addresses or one.ip in addresses]

    def copies(self) -> Counter[tuple[str, str]]:
        """How often each message was taken for each recipient, by Message-ID and recipient."""
        return Counter(
            (one.message_id, recipient) for one in self.letters() for recipient in one.recipients
        )

    def wait_for(
        self, what: str, holds: Callable[[list[Letter]], bool], *, within_s: float = 30.0
    ) -> list[Letter]:
        """All letters, once that holds of them."""
        wait_until(lambda: holds(self.letters()), what, server=self.server, within_s=within_s)
        return self.letters_seen

    def _look(self) -> None:
        # A letter may be told before it is answered: those that were are asked for again.
        with self._lock:
            unanswered = (n for n, one in enumerate(self.letters_seen) if not one.is_answered)
            first = next(unanswered, len(self.letters_seen))
            seen = self._ask(Tell(first, self._changes))
            self.letters_seen[first:] = seen.letters
            self.visits_seen |= seen.visits
            self._changes += seen.changes

    def _ask(self, request: Request) -> Seen:
        with self._lock:
            self.control.sendall(msgspec.json.encode(request) + b"\n")
            while b"\n" not in self._buffer:
                more = self.control.recv(1 << 20)
                assert more, f"the MX hosts are gone\n{self.server.log_tail()}"
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\n")
        return msgspec.json.decode(line, type=Seen)


@contextmanager
def actors(space: Namespace, good: KeyPair) -> Iterator[Actors]:
    """Start them in a namespace, with one good certificate for all."""
    with short_folder() as folder:
        bad = self_signed(folder, "somebody-else.example")
        for name, pair in (("good", good), ("bad", bad)):
            (folder / f"{name}.pem").write_bytes(pair.cert.read_bytes())
            (folder / f"{name}.key").write_bytes(pair.key.read_bytes())
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        server = Server(
            "MX hosts",
            [*space.wrapper, sys.executable, "-m", "tests.lab.mx", str(folder), str(PORT)],
            folder / "mx.log",
            environment={"PYTHONPATH": path},
        )
        with server, socket.socket(socket.AF_UNIX) as control:
            place = str(folder / "control")
            wait_until(lambda: control.connect_ex(place) == 0, "the MX hosts", server=server)
            yield Actors(server, control)
