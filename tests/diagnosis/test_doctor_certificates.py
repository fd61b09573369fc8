import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from postern.diagnosis.doctor_certificates import (
    examine_certificates,
    expiries,
    judge_key_readable,
    judge_names,
)
from postern.diagnosis.doctor_results import CertificateFiles, Grade, Result, Site
from postern.runtime.privileges import Account

NOW = 1_800_000_000.0
DAY_S = 86400


def make(
    folder: Path,
    *,
    days: float = 90,
    names: tuple[str, ...] = ("mx.postern.test",),
    starts_in_days: float = -1,
    encryption: KeySerializationEncryption | None = None,
) -> CertificateFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.fromtimestamp(NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=min(starts_in_days, days - 1)))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    files = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    folder.mkdir(exist_ok=True)
    files.cert.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    )
    return files


def look(*files: CertificateFiles, user: str = "") -> dict[str, Result]:
    site = Site(
        hostname="mx.postern.test",
        data_dir=Path("/nonexistent"),
        run_dir=Path("/nonexistent/run"),
        user=user,
        workers=1,
        doors=(),
        resolvers=(),
        certificates=files,
        need_bytes=0,
        need_files=0,
        has_ballast=False,
    )
    return {result.check: result for result in examine_certificates(site, NOW)}


def test_good_certificate_is_good(tmp_path: Path) -> None:
    assert {result.grade for result in look(make(tmp_path)).values()} == {Grade.OK}


@pytest.mark.parametrize(
    ("days", "grade"), [(22, Grade.OK), (20, Grade.WARNING), (-1, Grade.PROBLEM)]
)
def test_age_is_told_before_it_hurts(tmp_path: Path, days: float, grade: Grade) -> None:
    assert look(make(tmp_path, days=days))["certificate.age"].grade is grade


def test_certificate_of_tomorrow_is_a_problem(tmp_path: Path) -> None:
    result = look(make(tmp_path, starts_in_days=2))["certificate.age"]
    assert result.grade is Grade.PROBLEM
    assert "not valid yet" in result.what


def test_key_of_another_certificate_is_a_problem(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b")
    result = look(CertificateFiles(one.cert, other.key))["certificate.key"]
    assert result.grade is Grade.PROBLEM


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_damaged_certificate_is_a_problem_and_no_crash(tmp_path: Path, content: bytes) -> None:
    files = make(tmp_path)
    files.cert.write_bytes(content)
    assert look(files)["certificate.readable"].grade is Grade.PROBLEM


def test_encrypted_key_is_a_problem(tmp_path: Path) -> None:
    files = make(tmp_path, encryption=BestAvailableEncryption(b"x"))
    assert "encrypted" in look(files)["certificate.readable"].what


@pytest.mark.parametrize(
    ("names", "grade"),
    [
        (("mx.postern.test",), Grade.OK),
        (("*.postern.test",), Grade.OK),
        (("*.mx.postern.test", "postern.test"), Grade.WARNING),
        ((), Grade.WARNING),
    ],
)
def test_certificate_must_be_for_our_name(names: tuple[str, ...], grade: Grade) -> None:
    assert judge_names("MX.postern.test", names).grade is grade


def test_certificate_without_names_is_read(tmp_path: Path) -> None:
    assert look(make(tmp_path, names=()))["certificate.names"].grade is Grade.WARNING


def test_no_certificate_at_all_is_a_warning() -> None:
    assert look()["certificate.none"].grade is Grade.WARNING


def test_key_that_the_user_cannot_read_is_a_problem(tmp_path: Path) -> None:
    files = make(tmp_path)
    files.key.chmod(0o600)
    stranger = Account("nobody", os.getuid() + 54321, 54321)
    result = judge_key_readable(files.key, stranger)
    assert result.grade is Grade.PROBLEM
    assert "nobody may not read" in result.what


def test_expiry_is_told_to_metrics_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    good, bad = make(tmp_path / "a", days=10), make(tmp_path / "b")
    bad.cert.write_bytes(b"x")
    assert list(expiries([bad, good])) == [(str(good.cert), NOW + 10 * DAY_S)]
