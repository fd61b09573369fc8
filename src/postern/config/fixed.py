"""What a running server cannot change: its sockets, its processes, and where its data is."""

import msgspec

from postern.config.settings import Config

FIXED_UNTIL_RESTART = (
    "listeners",
    "workers",
    "data_dir",
    "user",
    "database",
    "console",
    "node",
    "spool",
    "journal",
)


def keep_fixed(running: Config, fresh: Config) -> tuple[Config, tuple[str, ...]]:
    """``fresh``, but for what cannot change, and the names of what so waits for a restart.

    Everybody who reads the file again must go through here: a listener's rules belong to the socket
    that was bound for it, and two processes must never mean different folders by ``data_dir``.
    """
    waiting = tuple(
        name for name in FIXED_UNTIL_RESTART if getattr(running, name) != getattr(fresh, name)
    )
    kept = {name: getattr(running, name) for name in waiting}
    return msgspec.structs.replace(fresh, **kept), waiting
