"""All scanners of one configuration, and what they say of one message."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from postern.mail.finding import Finding, Result, Whose
from postern.policy.scanners.gate import Gate, GateStatus, scanner_of
from postern.policy.scanners.marks import marks
from postern.policy.scanners.scan import Answer, Caught, Specimen, Untold
from postern.policy.scanners.settings import CHECKS, FOR_EVERYBODY, Need, ScannerSettings
from postern.runtime.clock import Clock

HURRIED_S = 2.0
"""For a message that nobody would refuse, hold or put aside for what the scanner says."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the scanners found, and the fields that say so on top of the message."""

    findings: tuple[Finding, ...] = ()
    fields: bytes = b""


class Scans:
    """One message at its scanners, at all of them at once. ``end`` it, whatever happens."""

    def __init__(self, gates: Sequence[Gate], specimen: Specimen, need: Need, clock: Clock) -> None:
        self._asked = [
            (gate, asyncio.ensure_future(_ask(gate, specimen, need, clock))) for gate in gates
        ]

    async def report(self) -> Report:
        """All that they say, in the order of the configuration."""
        findings, answers = [], []
        for gate, asking in self._asked:
            answer, seconds = await asking
            settings = gate.settings
            findings.append(finding_of(settings, answer, seconds))
            answers.append((settings, answer))
        return Report(tuple(findings), marks(answers))

    def end(self) -> None:
        """Nobody waits for it any more."""
        for _, asking in self._asked:
            asking.cancel()


async def _ask(gate: Gate, specimen: Specimen, need: Need, clock: Clock) -> tuple[Answer, float]:
    settings = gate.settings
    limit_s = HURRIED_S if settings.family in need.hurried else settings.timeout_s
    began = clock.monotonic()
    answer = await gate.ask(specimen, limit_s)
    return answer, clock.monotonic() - began


def finding_of(settings: ScannerSettings, answer: Answer, seconds: float) -> Finding:
    """One scanner's answer as a finding."""
    family, name = settings.family, settings.name
    check = CHECKS[family]
    if isinstance(answer, Untold):
        text = f"{name} could not scan the message: {answer.text}"
        check = f"{family}.couldnt-tell"
        return Finding(check, Result.COULDNT_TELL, text, Whose.US, seconds, name)
    result = Result.FAIL if isinstance(answer, Caught) else Result.PASS
    return Finding(check, result, answer.text, Whose.SENDER, seconds, name)


class Scanners:
    """One worker's.

    ``families``: what they answer for; ``look_at_everybody``: some look at our own users' mail too.
    """

    def __init__(self, settings: Iterable[ScannerSettings], clock: Clock) -> None:
        self._clock = clock
        self._gates = tuple(Gate(one, scanner_of(one), clock) for one in settings)
        self.families = frozenset(gate.settings.family for gate in self._gates)
        self.look_at_everybody = bool(self.families & FOR_EVERYBODY)

    def begin(self, specimen: Specimen, need: Need) -> Scans:
        """Show a message to those that it needs."""
        gates = [gate for gate in self._gates if gate.settings.family in need.families]
        return Scans(gates, specimen, need, self._clock)

    def statuses(self) -> list[GateStatus]:
        """How each is doing, in the order of the configuration."""
        return [gate.status for gate in self._gates]

    def take_over(self, before: "Scanners") -> None:
        """After a reload: go on counting."""
        gates: Mapping[str, Gate] = {gate.settings.name: gate for gate in before._gates}  # noqa: SLF001 - of the same class
        for gate in self._gates:
            with suppress(KeyError):
                gate.take_over(gates[gate.settings.name])
