"""A first configuration to try Postern with: ``python -m postern.cli.first_run RUN_DIR``.

Used by ``make run``. Makes what is not there yet and keeps what is: a configuration on unprivileged
ports, a certificate signed by itself, the domain ``postern.test`` with the mailboxes ``alice@`` and
``bob@``. Needs neither DNS nor the internet.
"""

import os
import secrets
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from postern.config.load import load
from postern.config.places import MAX_SOCKET_PATH_BYTES
from postern.config.settings import Config
from postern.runtime.clock import SystemClock

HOSTNAME = "mx.postern.test"
DOMAIN = "postern.test"
PEOPLE = ("alice", "bob")
CERTIFICATE_DAYS = 365
EX_NOT_FOUND = 4
EX_USAGE = 64

TEMPLATE = """\
# Made for a first try; everything that may stand here is in docs/settings.md.

hostname = "{hostname}"
data_dir = "data"
stop_grace_s = 10

[[listener]]                # mail from other servers
kind = "mx"
bind = "127.0.0.1:{mx}"

[[listener]]                # mail from our users, after STARTTLS
kind = "submission"
bind = "127.0.0.1:{submission}"

[[listener]]                # the same, under TLS from the first byte
kind = "submissions"
bind = "127.0.0.1:{submissions}"
{unix}
[[certificate]]
cert = "tls/cert.pem"
key = "tls/key.pem"

[console]
bind = "127.0.0.1:{console}"
"""

UNIX_LISTENER = """
[[listener]]                # mail from programs on this machine: postern sendmail
kind = "submission"
bind = "unix:run/submit.sock"
"""

TRY_NEXT = """
Postern will listen on {mx} (mail from servers), {submission} and {submissions} (mail from users).
Passwords: {passwords}

Try, in another terminal:

  swaks --server 127.0.0.1:{mx_port} --from someone@example.org --to alice@{domain}

  without swaks:
  {python} -c "import smtplib; smtplib.SMTP('127.0.0.1', {mx_port}).sendmail(
      'someone@example.org', 'bob@{domain}', 'Subject: hello\\r\\n\\r\\nhello\\r\\n')"

  {postern} --config {config} why alice@{domain}       what happened to it
  ls {maildir}/new       where it is
  {postern} --config {config} doctor       what hurts, or soon will

  swaks --server 127.0.0.1:{submission_port} --tls --auth-user alice@{domain} \\
      --from alice@{domain} --to bob@{domain}       as a user; asks for the password
"""


def main(arguments: list[str]) -> int:
    """Make what is missing below the folder and say what to try; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m postern.cli.first_run RUN_DIR\n")
        return EX_USAGE
    folder = Path(arguments[0]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "postern.toml"
    make_certificate(folder / "tls")
    if not path.exists():
        path.write_text(configuration(folder), encoding="utf-8")
    config = load(path)
    passwords = make_passwords(folder / "passwords.txt")
    failure = make_mailboxes(path, passwords)
    if failure:
        sys.stderr.write(failure)
        return 1
    print(try_next(config, folder / "passwords.txt"))
    return 0


def configuration(folder: Path) -> str:
    """The text of a first postern.toml, on ports that are free now."""
    socket_path = folder / "data" / "run" / "submit.sock"
    taken: set[int] = set()
    ports = {}
    for name, wanted in (("mx", 2525), ("submission", 2587), ("submissions", 2465)):
        ports[name] = free_port(wanted, taken)
    ports["console"] = free_port(8025, taken)
    is_short = len(bytes(socket_path)) <= MAX_SOCKET_PATH_BYTES
    return TEMPLATE.format(hostname=HOSTNAME, unix=UNIX_LISTENER if is_short else "", **ports)


def free_port(wanted: int, taken: set[int]) -> int:
    """``wanted`` when it is free on loopback, else any free port; remembered in ``taken``."""
    for port in (wanted, 0, 0, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if found not in taken:
            taken.add(found)
            return found
    raise OSError("no free port on 127.0.0.1")


def make_certificate(folder: Path) -> None:
    """A key and a certificate signed by it, for our name and for loopback, if there is none."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if cert.exists() and key.exists():
        return
    # 60 ms that only the very first run pays.
    from cryptography import x509  # noqa: PLC0415 - once in a server's life
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - once in a server's life
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - once in a server's life
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - once in a server's life
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - once in a server's life

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTNAME)])
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName(HOSTNAME),
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_private(key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    cert.write_bytes(certificate.public_bytes(Encoding.PEM))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)


def make_passwords(path: Path) -> dict[str, str]:
    """The password of every address; those in the file stay, missing ones are made up."""
    known: dict[str, str] = {}
    if path.exists():
        pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        known = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    wanted = {f"{person}@{DOMAIN}" for person in PEOPLE}
    if wanted <= set(known):
        return known
    for address in sorted(wanted - set(known)):
        known[address] = secrets.token_urlsafe(12)
    write_private(path, "".join(f"{a} {p}\n" for a, p in known.items()).encode("ascii"))
    return known


def make_mailboxes(config: Path, passwords: dict[str, str]) -> str:
    """Add the domain and the mailboxes that are missing; returns why it failed, or nothing."""
    steps: list[tuple[str, str, tuple[str, ...]]] = [("domain", DOMAIN, ())]
    steps += [("mailbox", address, ("--password-stdin",)) for address in sorted(passwords)]
    for noun, name, extra in steps:
        if postern(config, noun, "show", name).returncode != EX_NOT_FOUND:
            continue
        password = passwords.get(name, "")
        added = postern(config, noun, "add", name, *extra, stdin=f"{password}\n")
        if added.returncode != 0:
            return f"postern {noun} add {name}: {added.stderr or added.stdout}"
    return ""


def postern(config: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one command as a person would."""
    command = [sys.executable, "-m", "postern", "--config", str(config), *arguments]
    return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)  # noqa: S603 - our own program


def try_next(config: Config, passwords: Path) -> str:
    """What a newcomer can do now."""
    places = {item.kind: item.bind for item in config.listeners if item.bind.path is None}
    return TRY_NEXT.format(
        mx=places["mx"],
        submission=places["submission"],
        submissions=places["submissions"],
        mx_port=places["mx"].port,
        submission_port=places["submission"].port,
        passwords=passwords,
        domain=DOMAIN,
        python=sys.executable,
        postern=Path(sys.executable).with_name("postern"),
        config=config.source,
        maildir=config.data_dir / "mail" / DOMAIN / "alice" / "Maildir",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
