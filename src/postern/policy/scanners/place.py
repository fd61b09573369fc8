"""Where a scanner listens."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A unix socket's path, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
