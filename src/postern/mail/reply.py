"""One SMTP reply: code, enhanced status code, and lines of text; said by us or by a peer.

Source: RFC 5321 §4.2, RFC 2034 and RFC 3463 (enhanced codes).
"""

from dataclasses import dataclass

MAX_LINE_BYTES = 512
"""RFC 5321 §4.5.3.1.5: a reply line with its code and CR LF."""
_SHORT_CHARS = 400
"""A text that fits its line whatever enhanced code and trace code stand beside it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply.

    ``enhanced`` is ``"5.1.1"`` or empty where the reply has none. ``link`` is where more can be
    read: the trace code completes it, in a line of its own.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]
    link: str = ""

    @property
    def is_positive(self) -> bool:
        """True for 2xx."""
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """True for 4xx."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """True for 5xx."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """All lines joined by one space."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    def encode(self, trace: str = "") -> bytes:
        """The reply as it goes on the wire, each line ended by CR LF.

        Args:
            trace: trace code put at the end of the last line; nothing when empty.

        No text can break out of its line: controls and bytes beyond ASCII become ``?``, and a line
        is cut to the 512 bytes of RFC 5321 §4.5.3.1.5 without losing the trace code.
        """
        head = f"{self.enhanced} " if self.enhanced else ""
        if (
            len(self.lines) == 1 and not self.link
        ):  # nearly every reply, and a busy server says millions of them
            line = self.lines[0]
            if len(line) <= _SHORT_CHARS and line.isascii() and line.isprintable():
                tail = f" {trace}" if trace else ""
                return f"{self.code} {head}{line}{tail}\r\n".encode("ascii")
        lines, code = self.lines, f" {trace}" if trace else ""
        if self.link and trace:
            lines, code = (*lines, f"Help (English, Chinese): {self.link}"), trace
        last = len(lines) - 1
        wire = []
        for number, line in enumerate(lines):
            tail = code if number == last else ""
            room = MAX_LINE_BYTES - 6 - len(head) - len(tail)
            mark = " " if number == last else "-"
            wire.append(f"{self.code}{mark}{head}{_printable(line)[:room]}{tail}\r\n")
        return "".join(wire).encode("ascii")


def _printable(text: str) -> str:
    """``text`` with everything outside printable ASCII replaced by ``?``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """Shorthand that reads like the wire: ``reply(250, "2.1.0", "Sender ok")``."""
    return Reply(code, enhanced, lines)
