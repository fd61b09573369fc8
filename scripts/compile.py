"""``python -m scripts.compile``: Postern with its busiest modules compiled by mypyc.

Copies the package to ``.venv/compiled`` and compiles there what is run for every message. Nothing
else changes: the sources stay as they are, the same code runs without a compiler, and what is older
than the sources is not used (``is_current``). Needs a C compiler and Python's headers (Debian: gcc,
python3-dev); takes a minute or two.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "postern"
FOLDER = ROOT / ".venv" / "compiled"
STAMP = "of-sources"
MOST_LINES = 40

HOT = (
    "mail/*.py",
    "mail/arc/*.py",
    "mail/authres/*.py",
    "mail/dkim/*.py",
    "mail/dmarc/*.py",
    "mail/message/*.py",
    "mail/mime/*.py",
    "mail/smtp/*.py",
    "mail/spf/*.py",
    "reception/*.py",
    "queue/calendar.py",
    "queue/claims.py",
    "queue/courier.py",
    "queue/desk.py",
    "queue/gates.py",
    "queue/group.py",
    "queue/groups.py",
    "queue/lanes.py",
    "queue/pace.py",
    "queue/settle.py",
    "queue/shelf.py",
    "queue/ways.py",
    "queue/worker.py",
    "routing/*.py",
    "delivery/*.py",
    "spool/gather.py",
    "spool/message.py",
    "spool/outline.py",
    "spool/writer.py",
)
"""What runs for each message."""
LEFT_OUT = {
    "mail/content.py": "an asynchronous generator",
    "delivery/maildir.py": "it waits where an exception is on its way",
    "delivery/maildir_store.py": "memoryview: mypyc takes it for bytes",
    "reception/upgrade.py": "memoryview",
}
"""What mypyc cannot compile, and why; it runs as it is."""


def hot_modules(package: Path) -> Iterator[Path]:
    """The modules to compile, below the ``package`` folder."""
    for pattern in HOT:
        for path in sorted(package.glob(pattern)):
            if path.name != "__init__.py" and str(path.relative_to(package)) not in LEFT_OUT:
                yield path


def fingerprint() -> str:
    """Tells one state of the sources, this script and the interpreter from another."""
    digest = hashlib.sha256(sys.version.encode())
    # dev.txt names the version of mypyc.
    for path in [Path(__file__), ROOT / "requirements" / "dev.txt", *sorted(SOURCES.rglob("*.py"))]:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(folder: Path = FOLDER) -> bool:
    """True when ``folder`` holds what the sources would be compiled to now."""
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text(encoding="ascii") == fingerprint()


def can_compile() -> bool:
    """True when there is a C compiler and Python's headers."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    return compiler is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def compile_into(folder: Path) -> None:
    """Compile into ``folder``, which is replaced whole once all went well."""
    # Only needed here: `--check` must work where these are not installed.
    from mypyc.build import mypycify  # noqa: PLC0415 - not for --check
    from setuptools import Distribution  # type: ignore[import-untyped]  # noqa: PLC0415 - not for --check
    from setuptools.command.build_ext import (  # type: ignore[import-untyped]  # noqa: PLC0415 - not for --check
        build_ext,
    )

    class SideBySide(build_ext):  # type: ignore[misc]  # it has no types
        """Its own ``parallel`` is for libraries, and all of ours is in one."""

        def build_extensions(self) -> None:
            """Have the compiler run as often at once as there are processors."""
            compile_some = self.compiler.compile

            def compile_all(sources: list[str], **options: object) -> list[str]:
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    done = pool.map(lambda source: compile_some([source], **options), sources)
                    return [made for objects in done for made in objects]

            self.compiler.compile = compile_all
            super().build_extensions()

    state = fingerprint()
    # Beside its place: a rename on one file system is all or nothing.
    work = Path(tempfile.mkdtemp(prefix="compiling-", dir=folder.parent))
    work.chmod(0o755)  # a server that gave up root reads it too
    try:
        shutil.copytree(SOURCES, work / "postern", ignore=shutil.ignore_patterns("__pycache__"))
        os.chdir(work)
        os.environ["MYPYPATH"] = str(work)
        paths = [str(path.relative_to(work)) for path in hot_modules(work / "postern")]
        modules = mypycify(
            ["--strict", "--config-file=", *paths],
            opt_level="2",
            multi_file=True,
            target_dir="c",
        )
        command = SideBySide(Distribution({"ext_modules": modules, "packages": ["postern"]}))
        command.inplace = True
        command.ensure_finalized()
        command.run()
        for leftover in ("c", "build"):
            shutil.rmtree(work / leftover, ignore_errors=True)
        (work / STAMP).write_text(state, encoding="ascii")
        os.chdir(ROOT)
        old = folder.with_name(f"{work.name}-old")
        if folder.exists():
            folder.rename(old)
        work.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(work, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Compile where that is not done yet; ``--check`` only tells whether it is.

    Where it cannot be done this says so and ends with 69. ``--now``: all that is said is shown.
    """
    if arguments == ["--check"]:
        return 0 if is_current() else 1
    if arguments == ["--now"]:
        compile_into(FOLDER)
        return 0
    if not is_current() and not can_compile():
        sys.stderr.write("Not compiled: needs a C compiler and Python's headers (python3-dev).\n")
        return 69
    if not is_current():
        count = sum(1 for _ in hot_modules(SOURCES))
        sys.stderr.write(f"Compiling {count} modules into {FOLDER.relative_to(ROOT)} ...\n")
        return compile_quietly()
    return 0


def compile_quietly() -> int:
    """Compile in a process of its own; what mypyc and the compiler say is shown if it failed."""
    command = [sys.executable, "-m", "scripts.compile", "--now"]
    done = subprocess.run(  # noqa: S603 - this very script
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = f"{done.stdout}\n{done.stderr}".splitlines()
        sys.stderr.write("\n".join(lines[-MOST_LINES:]) + "\nCould not be compiled.\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
