"""Where the numbers come from: processor, memory, file system, versions."""

import importlib.metadata
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from postern import __version__

SYNCS = 200


def facts(folder: Path) -> list[tuple[str, str]]:
    """Name and value of everything a reader needs to judge the numbers."""
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d")),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{_memory_gb():.0f} GB"),
        ("kernel", platform.release()),
        ("file system", f"{_file_system(folder)}, one write and fsync {_fsync_ms(folder):.2f} ms"),
        ("Python", platform.python_version()),
        ("Postern", f"{__version__} ({_commit()})"),
        ("Postfix", _said("postconf", "-h", "mail_version")),
        ("aiosmtpd", importlib.metadata.version("aiosmtpd")),
        ("uvloop", importlib.metadata.version("uvloop")),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _file_system(folder: Path) -> str:
    return _said("findmnt", "-n", "-o", "FSTYPE", "-T", str(folder)) or "unknown"


def _commit() -> str:
    return _said("git", "rev-parse", "--short", "HEAD") or "no commit"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _fsync_ms(folder: Path) -> float:
    path = folder / "fsync"
    with path.open("wb") as file:
        begin = time.monotonic()
        for _ in range(SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        took = time.monotonic() - begin
    path.unlink()
    return took * 1000 / SYNCS
