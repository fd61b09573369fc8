from pathlib import Path

from postern.reception.tls import CertificateFiles, CertificateFilesWatch


def pair(folder: Path) -> CertificateFiles:
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_text("one")
    key.write_text("two")
    return CertificateFiles(cert, key)


def test_files_that_stay_as_they_are_say_nothing(tmp_path: Path) -> None:
    watch = CertificateFilesWatch((pair(tmp_path),))
    assert not watch.changed()
    assert not watch.changed()


def test_a_renewed_certificate_is_told_of_once(tmp_path: Path) -> None:
    files = pair(tmp_path)
    watch = CertificateFilesWatch((files,))
    fresh = tmp_path / "fresh.pem"
    fresh.write_text("one")
    fresh.rename(files.cert)
    assert watch.changed()
    assert not watch.changed()


def test_a_file_that_goes_and_comes_back_is_a_change_each_time(tmp_path: Path) -> None:
    files = pair(tmp_path)
    watch = CertificateFilesWatch((files,))
    files.key.unlink()
    assert watch.changed()
    files.key.write_text("two")
    assert watch.changed()
