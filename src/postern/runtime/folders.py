"""The data folder and its ``run``: whose they are, and who may pass through them.

Any command may be the first to make them, so commands and server make them alike.
"""

import os
import stat
from pathlib import Path

from postern.runtime.durable import make_directory
from postern.runtime.privileges import Account

DATA_MODE = 0o711
"""Others may pass through to the socket of ``sendmail``, and see nothing else on the way."""
RUN_MODE = 0o755


def make_folder(folder: Path, mode: int, account: Account | None = None) -> None:
    """Make ``folder`` durably with exactly this mode; one that exists keeps its own.

    As root, one that root owns is given to ``account``.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_directory(folder.parent, 0o755)
        make_directory(folder, mode)
        folder.chmod(mode)  # whatever the umask took away
    if account is not None and os.geteuid() == 0 and folder.stat().st_uid == 0:
        os.chown(folder, account.uid, account.gid)


def make_data_folders(
    data_dir: Path, run_dir: Path, account: Account | None, *, has_socket: bool
) -> None:
    """Make the data folder and its ``run``, owned by the user that will write there.

    Args:
        data_dir: everything that is kept.
        run_dir: below it; sockets and the state of the workers.
        account: who serves; None for whoever we are.
        has_socket: programs of other users hand in mail through a socket below.

    Raises:
        OSError: they cannot be made, or are another's.
    """
    make_folder(data_dir, DATA_MODE, account)
    make_folder(run_dir, RUN_MODE, account)
    if has_socket:
        for folder in (data_dir, run_dir):
            _let_others_pass(folder)


def _let_others_pass(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & stat.S_IXOTH:
        folder.chmod(mode | stat.S_IXOTH)


def closed_on_the_way(path: Path) -> Path | None:
    """The first folder above ``path`` that others cannot pass through, or None.

    Raises:
        OSError: a folder cannot be looked at, or is not there.
    """
    for folder in reversed(path.absolute().parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None
