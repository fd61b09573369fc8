"""A worker's view of the site, for tests that count what it costs."""

from dataclasses import dataclass, field

from postern.directory.reader import Directory


@dataclass
class Reading:
    """A worker's view of the site, and the queries it made."""

    directory: Directory
    queries: list[str] = field(default_factory=list)
