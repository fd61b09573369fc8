"""Opening ``site.db`` for a command, and answering with the directory's refusals."""

import getpass
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from postern.cli.output import ExitCode, fail
from postern.config.load import load
from postern.config.settings import Config
from postern.directory.model import Problem, Refused
from postern.directory.names import read_address
from postern.directory.reader import Directory
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.mail.address import Address
from postern.runtime.clock import SystemClock
from postern.runtime.database.trouble import DatabaseTooNewError, DatabaseTroubleError
from postern.runtime.durable import make_directory

T = TypeVar("T")

_EXIT_CODES = {
    Problem.ALREADY_THERE: ExitCode.PROBLEM,
    Problem.NOT_ALLOWED: ExitCode.PROBLEM,
    Problem.NOT_THERE: ExitCode.NOT_FOUND,
    Problem.MALFORMED: ExitCode.USAGE,
}


@contextmanager
def open_site(config_file: Path | None = None) -> Iterator[SiteStore]:
    """The site's directory, for the length of one command; made when it is not there yet.

    What a method of it wrote holds for every next transaction, whether the server runs or not.

    Args:
        config_file: the configuration; None finds it in the usual places.

    Raises:
        ConfigError: the configuration cannot be used.
        typer.Exit: the database cannot be used; the reason has been printed.
    """
    config = load(config_file)
    try:
        site = _opened(config)
        try:
            yield site
        finally:
            site.close()
    except DatabaseTooNewError as error:
        fail(ExitCode.CONFIGURATION, f"{config.data_dir}: {error}")
    except DatabaseTroubleError as error:
        fail(ExitCode.TEMPORARY, f"{config.data_dir}: {error}; see: postern doctor")


def _opened(config: Config) -> SiteStore:
    path = config.data_dir / FILE_NAME
    try:
        _make_data_dir(config)
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            fail(
                ExitCode.NO_PERMISSION,
                f"{path} belongs to {path.owner()}; give the command as that user or as root",
            )
        return SiteStore.open(config.data_dir, SystemClock(), author())
    except PermissionError as error:
        fail(ExitCode.NO_PERMISSION, f"{error.filename}: {error.strerror}; try as its owner")
    except OSError as error:
        fail(ExitCode.TEMPORARY, f"{error.filename or config.data_dir}: {error.strerror}")


def directory_of(site: SiteStore) -> Directory:
    """The directory as reception reads it, for one look."""
    return Directory(site.database, _NothingChanges())


class _NothingChanges:
    """A command looks once."""

    def changed(self) -> bool:
        return False


def granted(result: T | Refused) -> T:
    """What was asked for, or the end of the command with the refusal's sentence and code."""
    if isinstance(result, Refused):
        fail(_EXIT_CODES[result.problem], result.text)
    return result


def address_of(text: str) -> Address:
    """The address a person typed, or the end of the command."""
    address = read_address(text)
    if address is None:
        fail(ExitCode.USAGE, f"{text!r} is not an address, such as wang@harbour.example")
    return address


def author() -> str:
    """Who gives the command, for the change log: ``cli:wang``, also behind sudo."""
    try:
        return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"cli:{os.getuid()}"


def _make_data_dir(config: Config) -> None:
    """Make ``data_dir`` for the server's own user, also when root's command comes first."""
    if config.data_dir.is_dir():
        return
    make_directory(config.data_dir)
    if os.geteuid() == 0 and config.user:
        try:
            user = pwd.getpwnam(config.user)
        except KeyError:  # serve and doctor tell this one better than a mailbox command could
            return
        os.chown(config.data_dir, user.pw_uid, user.pw_gid)
