"""RFC 9989 §4.10 to §5.3.6 step by step, one question after another, as the text tells it.

Slow and plain on purpose: what the package does with shared look-ups and short cuts must come to
the same. Written for zones without DNS errors.
"""

import re
from collections.abc import Mapping, Sequence

Txt = Mapping[str, Sequence[str]]  # the TXT records at _dmarc of each name

SPF, DKIM = "spf", "dkim"


def tag(record: str, name: str, default: str = "") -> str:
    match = re.search(rf";\s*{name}=([a-z]+)", record)
    return match[1] if match else default


def query(name: str, txt: Txt) -> str | None:
    """Steps 1-2 and 5-6: the one DMARC record at a name."""
    records = [text for text in txt.get(name, ()) if text.startswith("v=DMARC1")]
    return records[0] if len(records) == 1 else None


def tree_walk(start: str, txt: Txt) -> list[tuple[str, str]]:
    """§4.10: the records found, longest name first."""
    found = []
    target = start
    record = query(target, txt)  # 1
    if record is not None:
        found.append((target, record))
        if tag(record, "psd") in {"y", "n"}:  # 2
            return found
    labels = start.split(".")  # 3
    x = len(labels)
    while x >= 8:  # 4
        labels = labels[1:]
        x = len(labels)
        if x == 7:
            break
    else:
        labels = labels[1:]
    while labels:
        target = ".".join(labels)
        record = query(target, txt)  # 5
        if record is not None:
            found.append((target, record))
            if tag(record, "psd") in {"y", "n"}:  # 6
                return found
        labels = labels[1:]  # 7
    return found


def organisational_domain(start: str, txt: Txt) -> str:
    """§4.10.2."""
    found = tree_walk(start, txt)
    for name, record in found:
        if tag(record, "psd") == "n":  # 1
            return name
        if tag(record, "psd") == "y" and name != start:  # 2
            labels = start.split(".")
            return ".".join(labels[-(len(name.split(".")) + 1) :])
    if found:  # 3
        return min(found, key=lambda pair: len(pair[0].split(".")))[0]
    return start


def policy_record(author: str, txt: Txt) -> tuple[str, str] | None:
    """§4.10.1: where the record that applies was found, and the record."""
    record = query(author, txt)
    if record is not None:
        return author, record
    found = dict(tree_walk(author, txt))
    organisation = organisational_domain(author, txt)
    if organisation in found:
        return organisation, found[organisation]
    for name, record in found.items():
        if tag(record, "psd") == "y":
            return name, record
    return None


def is_aligned(author: str, record: str, method: str, domain: str, txt: Txt) -> bool:
    """§4.4 and §4.10.2."""
    if author == domain:
        return True
    if tag(record, "aspf" if method == SPF else "adkim", "r") == "s":
        return False
    return organisational_domain(author, txt) == organisational_domain(domain, txt)


def asked_policy(author: str, at: str, record: str, *, exists: bool) -> str:
    """§4.10.1 with §4.7 for the missing tags and the test mode."""
    policy = tag(record, "p", "none")
    if at != author:
        policy = tag(record, "sp", policy)
        if not exists:
            policy = tag(record, "np", policy)
    if tag(record, "t") == "y":
        policy = {"reject": "quarantine"}.get(policy, "none")
    return policy


def evaluate(
    author: str, passed: Sequence[tuple[str, str]], txt: Txt, *, exists: bool
) -> tuple[str, str]:
    """§5.3: the result and, for a failure, the policy."""
    found = policy_record(author, txt)
    if found is None:
        return "none", ""
    at, record = found
    if any(is_aligned(author, record, method, domain, txt) for method, domain in passed):
        return "pass", ""
    return "fail", asked_policy(author, at, record, exists=exists)
