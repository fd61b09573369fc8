"""What is put on top of a message says what scanners made of it, and breaks no line."""

from email import message_from_bytes

from postern.mail.authres.forged import forged_fields
from postern.mail.message.header import HeaderScan
from postern.policy.scanners.marks import marks
from postern.policy.scanners.scan import Answer, Caught, Clean, Score, Untold
from postern.policy.scanners.settings import Kind, ScannerSettings

VIRUS = ScannerSettings("clamd", Kind.CLAMD)
SPAM = ScannerSettings("rspamd", Kind.RSPAMD)


def put(*answers: tuple[ScannerSettings, Answer]) -> bytes:
    fields = marks(answers)
    assert all(len(line) < 79 for line in fields.split(b"\r\n"))
    assert fields == b"" or fields.endswith(b"\r\n")
    assert all(line.strip() for line in fields.splitlines())
    return fields


def test_clean_of_a_virus_is_nothing_to_say() -> None:
    assert put((VIRUS, Clean("no virus was found"))) == b""


def test_score_is_told_whether_it_is_spam_or_not() -> None:
    score = Score(12.4, 6, ("BAYES_SPAM", "URIBL"))
    assert put((SPAM, Caught("spam", score))) == (
        b"X-Postern-Spam: yes, score=12.4 required=6 by=rspamd\r\n\tsymbols=BAYES_SPAM,URIBL\r\n"
    )
    assert put((SPAM, Clean("fine", Score(-0.5, 15)))) == (
        b"X-Postern-Spam: no, score=-0.5 required=15 by=rspamd\r\n"
    )


def test_symbols_of_a_stranger_are_folded_bounded_and_cannot_forge_a_field() -> None:
    evil = ("A\r\nX-Forged: yes", "B C", "É", *(f"SYMBOL_NUMBER_{n}" for n in range(100)))
    message = message_from_bytes(put((SPAM, Clean("", Score(1, 2, evil)))) + b"\r\n")
    assert message.keys() == ["X-Postern-Spam"]
    assert message["X-Postern-Spam"].count("SYMBOL_NUMBER") == 12


def test_unscanned_names_family_and_cause_and_nothing_of_this_machine() -> None:
    untold = Untold("it could not be reached", "ENOENT: there is no /run/clamd.ctl")
    fields = put((VIRUS, untold), (SPAM, untold))
    assert fields == (
        b"X-Postern-Unscanned: virus\r\n\t(clamd: it could not be reached)\r\n"
        b"X-Postern-Unscanned: spam\r\n\t(rspamd: it could not be reached)\r\n"
    )


def test_all_that_is_put_is_taken_out_when_it_comes_from_outside() -> None:
    fields = put((SPAM, Clean("", Score(1, 2))), (VIRUS, Untold("no")))
    scan = HeaderScan(fields + b"From: a@tea.test\r\n\r\n")
    forged = forged_fields(scan, ("mx.harbour.example",))
    assert sum(end - start for start, end in forged) == len(fields)
