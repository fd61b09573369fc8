import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import postern
from postern.cli.first_run import configuration, free_port, make_certificate, make_passwords
from postern.config.load import check

SOURCE = Path(postern.__file__).parents[1]


def first_run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "postern.cli.first_run", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )


def mailboxes(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "postern", "mailbox", "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {"PYTHONPATH": str(SOURCE), "POSTERN_CONFIG": str(folder / "postern.toml")},
    )
    return done.stdout


def test_first_run_makes_all_that_is_needed_and_the_second_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = first_run(folder)
    assert first.returncode == 0, first.stderr
    assert "swaks --server 127.0.0.1:" in first.stdout
    assert "Maildir/new" in first.stdout
    assert not check(folder / "postern.toml").problems
    assert "alice@postern.test" in mailboxes(folder)
    assert "bob@postern.test" in mailboxes(folder)
    kept = {p: p.read_bytes() for p in folder.rglob("*") if p.suffix in {".toml", ".txt", ".pem"}}
    assert first_run(folder).returncode == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_passwords_are_random_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "passwords.txt"
    first = make_passwords(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(set(first.values())) == 2
    assert min(map(len, first.values())) >= 16
    assert make_passwords(path) == first
    path.write_text(f"alice@postern.test {first['alice@postern.test']}\n")
    assert make_passwords(path)["alice@postern.test"] == first["alice@postern.test"]


def test_key_is_private_and_belongs_to_the_certificate(tmp_path: Path) -> None:
    make_certificate(tmp_path / "tls")
    cert, key = tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    before = cert.read_bytes()
    make_certificate(tmp_path / "tls")
    assert cert.read_bytes() == before


def test_taken_ports_are_stepped_around() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken: set[int] = set()
        assert free_port(other.getsockname()[1], taken) != other.getsockname()[1]
        assert len(taken) == 1


def test_long_folder_has_no_socket_that_the_kernel_could_not_take(tmp_path: Path) -> None:
    assert "unix:" in configuration(Path("/short"))
    assert "unix:" not in configuration(tmp_path / ("x" * 120))
