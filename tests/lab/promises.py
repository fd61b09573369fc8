"""How soon mail must be there. Beside other tests on the same processors a second is not a second:
there the limits only tell one way from another; ``make lab`` holds Postern to the seconds."""

import os

IS_ALONE = "PYTEST_XDIST_WORKER" not in os.environ

FIRST_S = 10.0 if IS_ALONE else 20.0
"""The first message after a path was cut. Without a relay it takes 40 s and more."""
NEXT_S = 1.0 if IS_ALONE else 4.0
"""Every other message. One that tries a dead path first takes 6 s."""
