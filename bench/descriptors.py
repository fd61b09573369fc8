"""Many clients in one process: as many open files as they need."""

import resource

SPARE_DESCRIPTORS = 2_000


def allow_descriptors(count: int) -> None:
    """Raise the limit of open files for this process and the servers it starts."""
    wanted = count + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
