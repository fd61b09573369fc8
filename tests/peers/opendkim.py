"""opendkim verifies signatures from a file of public keys, without DNS and without a daemon."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

_RESULT = re.compile(r"dkim=(\w+)[^;]*header\.d=(\S+)[^;]*header\.a=(\S+)[^;]*header\.s=([^\s;]+)")


def opendkim_results(message: bytes, records: Mapping[str, str], folder: Path) -> list[str]:
    """What opendkim says of each signature: ``pass tea.example rsa-sha256 p2026a``.

    Args:
        message: as it was received.
        records: key records, by their names in DNS.
        folder: where it may leave files.
    """
    keys, config, file = folder / "keys", folder / "opendkim.conf", folder / "message"
    keys.write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    config.write_text(f"Mode v\nSyslog no\nTestPublicKeys {keys}\nSocket local:{folder}/socket\n")
    file.write_bytes(message)
    done = subprocess.run(
        ["/usr/sbin/opendkim", "-x", str(config), "-vv", "-t", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return [" ".join(found) for found in _RESULT.findall(done.stdout + done.stderr)]
