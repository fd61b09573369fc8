"""Says which files it has open, its session and its group; ends with its argument, or waits."""

import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(int(sys.argv[1]))
    found = sorted(Path("/proc/self/fd").iterdir())
    open_ones = ",".join(path.name for path in found if path.exists())  # but the one just read
    print(f"{open_ones} {os.getsid(0)} {os.getpgid(0)}\n", end="", flush=True)
    signal.pause()
