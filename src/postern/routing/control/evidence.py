"""What speaks against the direct paths of a group, gathered from the board."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from postern.mail.paths import Path, Sign
from postern.routing.paths.board import Board
from postern.routing.paths.groups import Evidence
from postern.routing.paths.health import PathCondition, PathState
from postern.runtime.clock import Instant

_WORDS = {
    Sign.REFUSED: "refuse the connection",
    Sign.SILENT: "do not answer",
    Sign.MUTE: "do not greet",
    Sign.RESET: "reset the connection",
    Sign.CLOSED: "hang up before they greet",
    Sign.TLS_STALLED: "stop answering at STARTTLS",
    Sign.TLS_CUT: "cut the line at STARTTLS",
}
_DOWN = frozenset({PathCondition.DEGRADED, PathCondition.BLOCKED})


def gather(
    board: Board,
    group: str,
    targets: Sequence[Path],
    egresses: Collection[str],
    relayed: int,
    now: Instant,
) -> Evidence:
    """The evidence of now.

    Args:
        board: how paths do.
        group: whose.
        targets: the direct paths it has, as far as they were seen.
        egresses: names of those that are direct.
        relayed: times that a relay answered, lately, where no direct address had done so.
        now: the moment.
    """
    failing = [
        state for state in board.of_group(group) if state.path.egress in egresses and _fails(state)
    ]
    since = min((state.since for state in failing), default=now)
    failures: dict[str, int] = {}
    for state in failing:
        ip = state.path.ip
        failures[ip] = max(failures.get(ip, 1), state.failures)
    down = {(state.path.egress, state.path.ip) for state in failing}
    answers = any(
        _last_good_at(board, path) >= since
        for path in targets
        if (path.egress, path.ip) not in down
    )
    signs = Counter(state.last_sign for state in failing)
    return Evidence(
        sum(failures.values()) + (relayed if failing else 0),
        len(failures),
        # Who has not met the group knows of its failures by others' news, and not who is well.
        len({path.ip for path in targets} | set(failures)) if targets else 0,
        since,
        tuple(failures),
        answers=answers,
        relayed=relayed > 0,
        latest=max((state.since for state in failing), default=now),
        words=_WORDS[signs.most_common(1)[0][0]] if signs else "do not answer",
    )


def _last_good_at(board: Board, path: Path) -> Instant:
    """When the address last answered, encrypted or not; 0: not known."""
    both = (path, replace(path, encrypted=not path.encrypted))
    return max(board.last_good_at(one) or 0.0 for one in both)


def _fails(state: PathState) -> bool:
    """Whether the network's evidence alone is against it."""
    return state.last_sign.is_network and state.failures > 0 and state.condition in _DOWN
