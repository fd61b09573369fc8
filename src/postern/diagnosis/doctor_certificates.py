"""The doctor reads certificates: age, names, and whether the key belongs to them."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from postern.diagnosis.doctor_results import (
    CertificateFiles,
    Result,
    Site,
    couldnt_tell,
    ok,
    problem,
    warning,
)
from postern.runtime.clock import Instant
from postern.runtime.privileges import Account, find_account

WARN_DAYS = 21
_DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says; ``names`` are the DNS names of its SubjectAltName, lower case."""

    names: tuple[str, ...]
    not_before: Instant
    not_after: Instant
    is_self_signed: bool
    matches_key: bool | None


def read_facts(files: CertificateFiles) -> Facts:
    """Read certificate and key; ``matches_key`` is None when we may not read the key.

    Raises:
        OSError: the certificate cannot be read.
        ValueError: one of the files is not what it should be.
    """
    from cryptography import x509  # noqa: PLC0415 - 60 ms for this check alone
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - 60 ms for this check alone
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    certificate = x509.load_pem_x509_certificates(files.cert.read_bytes())[0]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    matches: bool | None = None
    try:
        key = load_pem_private_key(files.key.read_bytes(), password=None)
        matches = certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(
            *form
        )
    except PermissionError:
        matches = None
    except TypeError as error:
        raise ValueError(f"{files.key} is encrypted, and nobody is there to type") from error
    return Facts(
        names=tuple(name.lower() for name in names),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        is_self_signed=certificate.issuer == certificate.subject,
        matches_key=matches,
    )


def examine_certificates(site: Site, now: Instant) -> Iterator[Result]:
    """Every certificate, and whether one is for our own name."""
    if not site.certificates:
        yield warning(
            "certificate.none",
            "there is no certificate: mail comes in unencrypted and nobody can log in",
            "add [[certificate]] with cert and key",
        )
        return
    names: list[str] = []
    account = find_account(site.user) if site.user else None
    for files in site.certificates:
        try:
            facts = read_facts(files)
        except PermissionError:
            yield couldnt_tell(
                "certificate.readable", f"we may not read {files.cert}", "run doctor as root"
            )
            return
        except (OSError, ValueError) as error:
            yield problem("certificate.readable", f"{files.cert}: {error}", "replace the file")
            continue
        names += facts.names
        yield judge_age(files.cert, facts, now)
        yield judge_key(files, facts)
        if account is not None:
            yield judge_key_readable(files.key, account)
    yield judge_names(site.hostname, names)


def judge_age(path: Path, facts: Facts, now: Instant) -> Result:
    """How long the certificate is still good."""
    check = "certificate.age"
    day = f"{datetime.fromtimestamp(facts.not_after, UTC):%Y-%m-%d}"
    left = int((facts.not_after - now) // _DAY_S)
    fix = "renew it, then 'kill -HUP' the supervisor; look why the renewal did not run"
    if now >= facts.not_after:
        return problem(check, f"{path} ended on {day}", fix)
    if now < facts.not_before:
        return problem(check, f"{path} is not valid yet; is the clock right?", "set the clock")
    if left < WARN_DAYS:
        return warning(check, f"{path} ends on {day}, in {left} days", fix)
    kind = ", signed by itself" if facts.is_self_signed else ""
    return ok(check, f"{path} is good until {day}{kind}")


def judge_key(files: CertificateFiles, facts: Facts) -> Result:
    """Whether certificate and key are a pair."""
    check = "certificate.key"
    if facts.matches_key is None:
        return couldnt_tell(check, f"we may not read {files.key}", "run doctor as root")
    if not facts.matches_key:
        return problem(
            check, f"{files.key} is not the key of {files.cert}", "give both from one renewal"
        )
    return ok(check, f"{files.key} belongs to {files.cert}")


def judge_key_readable(key: Path, account: Account) -> Result:
    """Whether the user we become can read the key; only root's own files are a trap here."""
    check = "certificate.permission"
    try:
        is_readable = _may_read(key, account)
    except OSError as error:
        return couldnt_tell(check, f"{key}: {error.strerror}", "run doctor as root")
    if is_readable:
        return ok(check, f"{account.name} may read {key}")
    return problem(
        check,
        f"{account.name} may not read {key}",
        f"chgrp {account.name} {key} && chmod g+r {key}, and its folders g+x",
    )


def judge_names(hostname: str, names: Sequence[str]) -> Result:
    """Whether a certificate is for the name we give in greetings."""
    check = "certificate.names"
    wanted = hostname.lower()
    parent = wanted.partition(".")[2]
    if wanted in names or (parent and f"*.{parent}" in names):
        return ok(check, f"a certificate names {hostname}")
    return warning(
        check,
        f"no certificate names {hostname}; they name {', '.join(names) or 'nothing'}",
        f"get one for {hostname}, or correct hostname",
    )


def expiries(certificates: Sequence[CertificateFiles]) -> Iterator[tuple[str, Instant]]:
    """File name and end of every certificate that can be read, for metrics."""
    from cryptography import x509  # noqa: PLC0415 - slow to load, and most commands need none

    for files in certificates:
        try:
            certificate = x509.load_pem_x509_certificates(files.cert.read_bytes())[0]
        except (OSError, ValueError):
            continue
        yield str(files.cert), certificate.not_valid_after_utc.timestamp()


def _may_read(path: Path, account: Account) -> bool:
    """Whether mode bits let the account read a file and pass the folders above it."""
    groups = set(os.getgrouplist(account.name, account.gid))
    resolved = path.resolve()
    folders = all(_allows(folder, account, groups, stat.S_IXUSR) for folder in resolved.parents)
    return folders and _allows(resolved, account, groups, stat.S_IRUSR)


def _allows(path: Path, account: Account, groups: set[int], owner_bit: int) -> bool:
    status = path.stat()
    if account.uid == 0:
        return True
    if status.st_uid == account.uid:
        return bool(status.st_mode & owner_bit)
    if status.st_gid in groups:
        return bool(status.st_mode & owner_bit >> 3)
    return bool(status.st_mode & owner_bit >> 6)
