"""What the laboratory's own tests share."""

from collections.abc import Iterator

import pytest
from tests.lab.world import World, world
from tests.peers.certificates import Authority
from tests.peers.process import short_folder


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with short_folder() as folder:
        yield Authority(folder)


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def whole(shared_world: World) -> Iterator[World]:
    """The file's world, with nothing wrong in it."""
    yield shared_world
    shared_world.mend()
