"""Reception is tested whole: every test talks to it over a real socket, on uvloop."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from tests.peers.certificates import Authority
from tests.reception.rig import Make, make_site

from postern.directory.store.site import FILE_NAME
from postern.reception.tls import CertificateFiles


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that workers use."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    return folder / FILE_NAME


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def files(authority: Authority) -> CertificateFiles:
    pair = authority.issue("mx.harbour.example")
    return CertificateFiles(pair.cert, pair.key)


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca))


@pytest.fixture
def make(tmp_path: Path, site: Path, files: CertificateFiles) -> Make:
    return Make(tmp_path, site, files)
