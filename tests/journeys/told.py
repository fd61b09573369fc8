"""What ``postern why --json`` and ``queue --json`` tell, by the keys outside scripts rely on.

A key that is missing, or of another type, fails the test that reads it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from tests.peers.postern_server import PosternServer

WITHIN_S = 20.0
State = Literal[
    "delivered", "refused", "refused-for-now", "held", "junked", "waiting", "bounced", "discarded"
]


class Because(msgspec.Struct, frozen=True):
    """What decided."""

    check: str
    text: str
    whose: Literal["sender", "us", "between", "recipient", ""]


class Recipient(msgspec.Struct, frozen=True):
    """One recipient and how it fared."""

    address: str
    state: State
    rule: str


class Step(msgspec.Struct, frozen=True):
    """One step of the conversation."""

    step: str
    result: Literal["pass", "fail", "note", "couldnt-tell", "not-run"]
    seconds: float
    place: str
    text: str


class Attempt(msgspec.Struct, frozen=True):
    """One try to deliver."""

    at: str
    egress: str
    mx: str
    address: str
    tls: str
    seconds: float
    reply: str
    outcome: str


class Conversation(msgspec.Struct, frozen=True):
    """One message's way."""

    trace: str
    at: str
    direction: Literal["in", "out"]
    client_ip: str
    helo: str
    mail_from: str
    recipients: list[Recipient]
    message_id: str
    subject: str
    because: Because | None
    steps: list[Step]
    attempts: list[Attempt]

    def states(self) -> dict[str, str]:
        """Recipient to state."""
        return {recipient.address: recipient.state for recipient in self.recipients}


class Why(msgspec.Struct, frozen=True):
    """The answer of ``postern why``."""

    schema: Literal[1]
    conversations: list[Conversation]


class Trace(msgspec.Struct, frozen=True):
    """The answer of ``postern trace``."""

    schema: Literal[1]
    conversation: Conversation | None


class Slots(msgspec.Struct, frozen=True):
    """Deliveries at work, and how many there may be."""

    used: int
    all: int


class Cause(msgspec.Struct, frozen=True):
    """Why mail waits, and how much of it."""

    cause: str
    mx_group: str
    count: int
    since: str
    next_at: str | None
    gives_up_at: str


class Queue(msgspec.Struct, frozen=True):
    """The answer of ``postern queue``."""

    schema: Literal[1]
    waiting: int
    oldest_s: float
    slots: Slots
    causes: list[Cause]


def why(server: PosternServer, query: str, *options: str) -> list[Conversation]:
    """The conversations that ``postern why QUERY`` finds, newest first."""
    text = server.cli("why", query, *options, "--json", codes=(0, 1, 2, 4))
    return msgspec.json.decode(text, type=Why).conversations


def traced(server: PosternServer, code: str) -> Conversation:
    """What ``postern trace CODE`` has on file: a refused conversation a moment after its end."""
    give_up = time.monotonic() + WITHIN_S
    while True:
        text = server.cli("trace", code, "--json", codes=(0, 1, 2, 4))
        found = msgspec.json.decode(text, type=Trace).conversation
        if found is not None:
            return found
        assert time.monotonic() < give_up, f"{code} is not on file\n{server.log()}"


def queue(server: PosternServer) -> Queue:
    """What ``postern queue`` tells."""
    return msgspec.json.decode(server.cli("queue", "--json", codes=(0, 1, 2)), type=Queue)


def code_in(reply: str) -> str:
    """The trace code at the end of a reply."""
    code = reply.rsplit(" ", 1)[-1].rstrip(")")
    assert code.startswith("PT-"), reply
    return code


def wait_told(
    server: PosternServer, query: str, holds: Callable[[Conversation], bool]
) -> Conversation:
    """The newest conversation that fits ``query``, once ``holds`` is true of it."""
    give_up = time.monotonic() + WITHIN_S
    while True:
        found = why(server, query)
        if found and holds(found[0]):
            return found[0]
        assert time.monotonic() < give_up, f"why {query}: {found[:1]}\n{server.log()}"


def wait_state(server: PosternServer, query: str, **states: str) -> Conversation:
    """The same, once each recipient (by its local part) is in the state named."""
    return wait_told(server, query, lambda told: _stand_so(told, states))


def wait_tried(server: PosternServer, query: str, **states: str) -> Conversation:
    """The same, once it was tried as well: mail is waiting before, too."""
    return wait_told(server, query, lambda told: bool(told.attempts) and _stand_so(told, states))


def _stand_so(conversation: Conversation, states: Mapping[str, str]) -> bool:
    found = {address.split("@")[0]: state for address, state in conversation.states().items()}
    return all(found.get(local) == state for local, state in states.items())
