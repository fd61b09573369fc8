"""What the journeys share: an authority whose certificates servers under other users can read."""

from collections.abc import Iterator

import pytest
from tests.peers.certificates import Authority
from tests.peers.process import short_folder


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with short_folder() as folder:
        yield Authority(folder)
