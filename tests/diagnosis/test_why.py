"""Why: one answer out of the journal and the waiting mail."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from postern.diagnosis.conversation_text import Paper
from postern.diagnosis.ending import Exit
from postern.diagnosis.terminal import Style, cells
from postern.diagnosis.why import Explanation, NothingWaits, WaitingMail, explain
from postern.diagnosis.why_json import why_json
from postern.diagnosis.why_text import why_plain, why_text
from postern.journal.match import matches
from postern.journal.query import Query, parse_bounce, parse_query
from postern.journal.record import (
    AttemptRecord,
    Because,
    Conversation,
    RecipientRecord,
    Step,
)
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import FakeClock

replace_struct = msgspec.structs.replace

NOON = 1_778_925_600.0  # Sat 16 May 2026 10:00 UTC
CODES = TraceCodes(b"k" * 32)
CHINA = timezone(timedelta(hours=8))
PAPER = Paper(Style(columns=90), CODES, CHINA)

CONTRACT_KEYS = {
    "trace", "at", "direction", "client_ip", "helo", "mail_from", "recipients", "message_id",
    "subject", "because", "steps", "attempts",
}  # fmt: skip


def refused(number: int, at: float = NOON) -> Conversation:
    return Conversation(
        id=number,
        at=at,
        client_ip="198.51.100.24",
        helo="srv-2003",
        mail_from="li@tea-trading.example",
        because=Because(
            "mailfrom.dns-timeout",
            "we could not look up the sender's domain: its DNS servers did not answer cn2",
            "between",
        ),
        recipients=[
            RecipientRecord("wang@harbour.example", "refused-for-now", reply="451 4.4.3 DNS PT-X")
        ],
        steps=[
            Step("connect", "pass", 0.1),
            Step("ptr", "pass", 0.3, "cn2", "mail.isp.example"),
            Step("helo", "note", 0.2, "cn2", '"srv-2003" does not exist'),
            Step("mailfrom", "couldnt-tell", 18.8, "cn2", "no DNS answer"),
            Step("spf", "not-run"),
            Step("dnsbl", "fail", 0.2, "", "listed"),
        ],
    )


def waits(number: int, at: float = NOON) -> Conversation:
    return Conversation(
        id=number,
        at=at,
        direction="out",
        mail_from="wang@harbour.example",
        from_header="sales@harbour.example",
        subject="报价单 \x1b[31m\u202eexe",
        accepted=True,
        recipients=[
            RecipientRecord(
                "chen@tea-trading.example",
                "waiting",
                reply="450 4.2.0 greylisted",
                next_at=NOON + 1200,
                gives_up_at=NOON + 5 * 86_400,
            ),
            RecipientRecord("li@tea-trading.example", "delivered", rule="M1"),
        ],
        attempts=[
            AttemptRecord(NOON + 3, "direct", "mx1.tea-trading.example", "192.0.2.80", "", 30.0, "",
                          "deferred", (0, 1), "no-answer"),
            AttemptRecord(NOON + 33, "direct", "mx2.tea-trading.example", "192.0.2.81", "TLS1.3 X",
                          1.1, "450 4.2.0 greylisted, try later", "deferred", (0,)),
        ],
    )  # fmt: skip


class Waiting:
    def __init__(self, *conversations: Conversation) -> None:
        self.conversations = conversations

    def search(self, query: Query) -> list[Conversation]:
        return [c for c in self.conversations if matches(query, c)]


class Broken:
    def search(self, query: Query) -> list[Conversation]:
        raise OSError(f"disk says no to {query.text}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def write(folder: Path, *conversations: Conversation) -> None:
    with JournalWriter(folder, 0, FakeClock(NOON), JournalSettings()) as writer:
        writer.append(conversations)


def ask(folder: Path, text: str, waiting: WaitingMail | None = None, to: str = "") -> Explanation:
    query = parse_query(text, CODES)
    queries = (query.to(to),) if to else (query,)
    return explain(queries, JournalReader(folder), waiting or NothingWaits())


def test_journal_and_waiting_mail_are_one_answer_newest_first(folder: Path) -> None:
    write(folder, refused(1), refused(2, NOON + 60))
    answer = ask(folder, "tea-trading.example", Waiting(waits(3, NOON + 30)))
    assert [c.id for c in answer.conversations] == [2, 3, 1]
    assert answer.exit is Exit.PROBLEM
    assert answer.decisive is not None
    assert answer.decisive.id == 2


def test_mail_in_both_places_is_told_once_by_the_journal(folder: Path) -> None:
    done = waits(3)
    done.recipients[0].state = "delivered"
    write(folder, done)
    answer = ask(folder, "chen@tea-trading.example", Waiting(waits(3)))
    (only,) = answer.conversations
    assert only.recipients[0].state == "delivered"
    assert answer.exit is Exit.OK


def test_text_tells_verdict_cause_side_and_every_step(folder: Path) -> None:
    write(folder, refused(1, NOON - 600), refused(2))
    text = why_text(ask(folder, "tea-trading.example", to="wang@harbour.example"), PAPER)
    assert text.startswith("2 conversations since Sat 16 May 17:50:00 (UTC+8). None accepted.\n")
    assert f"REFUSED FOR NOW   Sat 16 May 18:00:00   trace {CODES.encode(2)}" in text
    assert "198.51.100.24 srv-2003\n" in text
    assert "li@tea-trading.example  →  wang@harbour.example\n" in text
    assert "(mailfrom.dns-timeout)." in text
    assert "Whose      the network between this server and theirs\n" in text
    assert "got 451 4.4.3 DNS PT-X; their server tries again" in text
    steps = {
        line.split()[1]: line for line in text.splitlines() if line[2:4].strip() in set("✔✘?~-")
    }
    assert steps["mailfrom"].startswith("  ? mailfrom  COULDN'T TELL  no DNS answer  ")
    assert steps["mailfrom"].endswith("18.8 s  SLOW")
    assert steps["connect"].startswith("  ✔")
    assert steps["dnsbl"].startswith("  ✘ dnsbl     FAILED  listed")
    assert steps["spf"].startswith("  - spf       not run")
    assert steps["helo"].startswith("  ~ helo      noted")
    assert f"postern trace {CODES.encode(2)}\n" in text
    assert CODES.encode(1) in text


def test_a_step_says_from_where_it_was_seen_where_that_is_not_here(folder: Path) -> None:
    steps = [
        Step("connect", "pass", 0.1, "cn2"),
        Step("ptr.missing", "pass", 0.1, "cn2", "it has a name"),
        Step("spf.fail", "pass", 0.1, "us1", "pass"),
    ]
    write(folder, replace_struct(refused(1), steps=steps))
    lines = why_text(ask(folder, "tea-trading.example"), PAPER).splitlines()
    (head,) = (line for line in lines if line.endswith("took"))
    assert head.split() == ["step", "result,", "seen", "from", "cn2", "took"]
    (ptr,) = (line for line in lines if "it has a name" in line)
    assert "cn2" not in ptr
    (spf,) = (line for line in lines if " spf " in line)
    assert "ok  pass (us1)" in spf


def test_text_of_waiting_mail_tells_tries_and_what_comes_next(folder: Path) -> None:
    text = why_text(ask(folder, "chen@tea-trading.example", Waiting(waits(3))), PAPER)
    assert "WAITING   Sat 16 May 18:00:00" in text
    assert "next at Sat 16 May" in " ".join(text.split())
    told = " ".join(text.split())
    assert "mx1.tea-trading.example [192.0.2.80] via direct, not encrypted 30.0 s SLOW" in told
    assert "their server did not answer in time" in text
    assert '"450 4.2.0 greylisted, try later"' in text
    assert "asks every new sender to wait; normal" in text
    assert "sales@harbour.example is what the reader sees" in text
    assert "DELIVERED        li@tea-trading.example" in text
    assert "rule M1" in text


def test_no_stranger_writes_to_the_terminal(folder: Path) -> None:
    evil = refused(1)
    evil.helo = "\x1b]0;owned\x07\u202e"
    evil.mail_from = "li\u2066@tea-trading.example"
    evil.steps.append(Step("x\x1b", "fail", 1.0, "\x9b", "\x1b[2J"))
    evil.attempts = [AttemptRecord(NOON, "\x1b", "\x1b", "\x1b", "\x1b", 1, "\x1b", "\x1b", (7,))]
    evil.recipients[0].rule = evil.recipients[0].final = "\x1b"
    write(folder, evil)
    answer = ask(folder, "198.51.100.24")
    for output in (why_text(answer, PAPER), why_plain(answer, PAPER), why_json(answer, CODES)):
        assert not set("\x1b\x07\x9b\u202e\u2066") & set(output)


def test_lines_fit_the_terminal(folder: Path) -> None:
    write(folder, *(refused(n) for n in range(1, 9)), waits(20))
    for text in ("tea-trading.example", "nobody@tea-trading.example", "chen@tea-trading.example"):
        for line in why_text(ask(folder, text), PAPER).splitlines():
            assert cells(line) <= PAPER.style.columns + len("  SLOW"), line


def test_ascii_text_has_no_other_character(folder: Path) -> None:
    write(folder, refused(1))
    paper = replace(PAPER, style=Style(is_ascii=True, columns=80))
    text = why_text(ask(folder, "tea-trading.example"), paper)
    assert text.isascii()
    assert "??   mailfrom" in text
    assert "FAIL dnsbl" in text


def test_nothing_found_tells_what_was_searched_and_the_nearest(folder: Path) -> None:
    write(folder, refused(1))
    answer = ask(folder, "198.51.100.99")
    assert answer.exit is Exit.NOT_FOUND
    text = " ".join(why_text(answer, PAPER).split())
    assert "No mail and no attempt found for 198.51.100.99" in text
    assert "1 day file of the log, which goes back to Sat 16 May 18:00:00 (UTC+8)" in text
    assert "Nearest: 198.51.100.0/24 was seen once" in text
    assert "postern why -" in text


def test_nearest_to_a_recipient_is_the_senders_other_mail(folder: Path) -> None:
    write(folder, refused(1))
    answer = ask(folder, "li@tea-trading.example", to="chen@harbour.example")
    assert answer.nearest_to == "li@tea-trading.example"
    assert [c.id for c in answer.nearest] == [1]


def test_an_empty_log_says_so(folder: Path) -> None:
    text = why_text(ask(folder, "li@tea.example"), PAPER)
    assert "nothing was logged yet" in " ".join(text.split())


def test_what_cannot_be_read_is_couldnt_tell_not_absence(folder: Path) -> None:
    write(folder, refused(1))
    answer = ask(folder, "nobody@nowhere.example", Broken())
    assert answer.exit is Exit.COULDNT_TELL
    assert "Warning: the mail that still waits could not be read" in why_text(answer, PAPER)
    (folder / "20260515-0.db").write_bytes(b"no database" * 1000)
    answer = ask(folder, "tea-trading.example")
    assert answer.exit is Exit.PROBLEM
    assert "20260515-0.db" in answer.warnings[0]


def test_pasted_bounce_finds_its_conversation_by_the_surest_clue(folder: Path) -> None:
    write(folder, refused(1), refused(2, NOON + 5))
    bounce = f"sorry li@tea-trading.example, said 451 4.4.3 DNS {CODES.encode(1)}"
    answer = explain(parse_bounce(bounce, CODES), JournalReader(folder), NothingWaits())
    assert [c.id for c in answer.conversations] == [1]
    assert f"Found by {CODES.encode(1)}." in why_text(answer, PAPER)
    bounce = "to wang@harbour.example from li@tea-trading.example"
    answer = explain(parse_bounce(bounce, CODES), JournalReader(folder), NothingWaits())
    assert len(answer.conversations) == 2


def test_json_has_the_keys_outside_scripts_rely_on(folder: Path) -> None:
    write(folder, refused(1))
    answer = ask(folder, "tea-trading.example", Waiting(waits(3)))
    printed = why_json(answer, CODES)
    assert printed.isascii()
    report = json.loads(printed)
    assert report["schema"] == 1
    for conversation in report["conversations"]:
        assert set(conversation) >= CONTRACT_KEYS
        for recipient in conversation["recipients"]:
            assert set(recipient) >= {"address", "state", "rule"}
    mail = next(c for c in report["conversations"] if c["direction"] == "in")
    assert mail["trace"] == CODES.encode(1)
    assert mail["at"] == "2026-05-16T10:00:00.000+00:00"
    assert mail["because"]["check"] == "mailfrom.dns-timeout"
    assert set(mail["because"]) >= {"check", "text", "whose"}
    assert set(mail["steps"][0]) >= {"step", "result", "seconds", "place", "text"}
    attempt = next(c for c in report["conversations"] if c["attempts"])["attempts"][0]
    assert set(attempt) >= {
        "at", "egress", "mx", "address", "tls", "seconds", "reply", "outcome",
    }  # fmt: skip


def test_json_takes_the_cause_from_a_recipient_where_the_whole_has_none(folder: Path) -> None:
    c = refused(1)
    c.recipients[0].because, c.because = Because("rcpt.unknown", "no such", "sender"), None
    write(folder, c)
    report = json.loads(why_json(ask(folder, "tea-trading.example"), CODES))
    assert report["conversations"][0]["because"]["check"] == "rcpt.unknown"


def test_json_of_nothing_is_an_empty_list(folder: Path) -> None:
    report = json.loads(why_json(ask(folder, "li@tea.example"), CODES))
    assert report["conversations"] == []
    assert report["exit"] == 4


def test_plain_is_one_recipient_a_line(folder: Path) -> None:
    c = refused(1)
    c.mail_from = "li\t@tea-trading.example\n"
    write(folder, c)
    lines = why_plain(ask(folder, "198.51.100.24", Waiting(waits(3))), PAPER).splitlines()
    (fields,) = [line.split("\t") for line in lines]
    assert fields[1:4] == [CODES.encode(1), "refused-for-now", "198.51.100.24"]
    lines = why_plain(ask(folder, "harbour.example", Waiting(waits(3))), PAPER).splitlines()
    assert [line.split("\t")[2] for line in lines] == ["waiting", "delivered", "refused-for-now"]


def test_what_was_only_counted_is_told(folder: Path) -> None:
    settings = JournalSettings(budget_bytes=0)
    counted = [replace_recipients(refused(n), ()) for n in range(1, 5)]
    with JournalWriter(folder, 0, FakeClock(NOON), settings) as writer:
        writer.append(counted)
    text = " ".join(why_text(ask(folder, "198.51.100.24"), PAPER).split())
    assert "4 refused conversations like it were only counted" in text


def replace_recipients(c: Conversation, recipients: Sequence[RecipientRecord]) -> Conversation:
    c.recipients = list(recipients)
    return c


def test_zone_is_named_also_when_it_is_utc(folder: Path) -> None:
    write(folder, refused(1))
    text = why_text(ask(folder, "tea-trading.example"), replace(PAPER, zone=UTC))
    assert "Sat 16 May 10:00:00 (UTC)" in text


# --- what would refuse next, and what can be done ------------------------------------------------


def ask_of(folder: Path, conversation: Conversation) -> Explanation:
    write(folder / "journal", conversation)
    return ask(folder / "journal", "wang@harbour.example")


def blocked(**changes: object) -> Conversation:
    """DNS of the sender's domain is silent: two checks would refuse."""
    return replace_struct(
        refused(1),
        recipients=[
            RecipientRecord(
                "wang@harbour.example",
                "refused-for-now",
                because=Because("mailfrom.dns-timeout", "no answer", "between"),
                next=("spf.couldnt-tell",),
            )
        ],
        steps=[
            Step("helo.unresolvable", "fail", 0.2, "", "srv-2003 does not exist", "sender"),
            Step("mailfrom.dns-timeout", "couldnt-tell", 18.8, "home", "no answer", "between"),
            Step("spf.couldnt-tell", "couldnt-tell", 18.8, "home", "no answer", "between"),
        ],
        **changes,
    )


def test_next_refusal_and_fixes_are_told_narrowest_first(tmp_path: Path) -> None:
    answer = replace(ask_of(tmp_path, blocked()), resolvers=("home", "us1"))
    lines = why_text(answer, PAPER).splitlines()
    assert "  If you waive mailfrom only, spf.couldnt-tell refuses it next." in lines
    begin = next(n for n, line in enumerate(lines) if line.startswith("  Fix  1  "))
    code = CODES.encode(1)
    text = "\n".join(lines[begin:]).replace(" \\\n", "")
    assert [" ".join(line.split()) for line in text.splitlines()][:5] == [
        "Fix 1 look this zone up through us1 first, 30 days; waives nothing [best]",
        f"postern resolver add tea-trading.example --via us1 --for 30d --reason {code}",
        "2 waive mailfrom and spf for this server, for harbour.example, 14 days",
        "postern rule allow 198.51.100.24 --waive mailfrom,spf --domain harbour.example --for 14d"
        f" --reason {code}",
        "3 tell the sender's side what to mend (a draft, en and zh): srv-2003 does not",
    ]
    whole = json.loads(why_json(answer, CODES))
    assert whole["conversations"][0]["recipients"][0]["next"] == ["spf.couldnt-tell"]
    assert [fix["command"].split()[1:3] for fix in whole["fixes"][:2]] == [
        ["resolver", "add"], ["rule", "allow"],
    ]  # fmt: skip
    assert whole["fixes"][2]["command"] == f"postern why {code} --letter"


def test_with_one_resolver_the_first_thing_to_do_is_to_name_a_second(tmp_path: Path) -> None:
    answer = replace(ask_of(tmp_path, blocked()), resolvers=("home",))
    first, second = json.loads(why_json(answer, CODES))["fixes"][:2]
    assert "name a second [[resolver]] in postern.toml" in first["text"]
    assert first["command"] == ""
    assert second["command"].startswith("postern rule allow 198.51.100.24")


@pytest.mark.parametrize(
    "sender",
    ["li@$(reboot).example", "li@a;b", 'li@"x', "li@tea.example`id`", "", "li@[192.0.2.1]"],
)
def test_no_word_of_a_sender_reaches_a_command(tmp_path: Path, sender: str) -> None:
    answer = replace(
        ask_of(tmp_path, blocked(mail_from=sender)),
        resolvers=("home", "us1"),
    )
    for fix in json.loads(why_json(answer, CODES))["fixes"]:
        assert not set(fix["command"]) & set("$;`\"'()<>|&\\\n")
        assert "resolver add" not in fix["command"]


def test_what_nobody_can_waive_and_what_passes_by_itself_has_no_fix(tmp_path: Path) -> None:
    for check in ("rcpt.unknown", "greylist.wait", "virus.found", "rate.exceeded"):
        record = RecipientRecord(
            "wang@harbour.example", "refused", because=Because(check, "it is so", "sender")
        )
        answer = ask_of(tmp_path / check, replace_struct(blocked(), recipients=[record]))
        assert json.loads(why_json(answer, CODES))["fixes"] == []


def test_a_rule_that_refuses_can_be_ended(tmp_path: Path) -> None:
    record = RecipientRecord(
        "wang@harbour.example", "refused", "M2", Because("rule.block", "it says so", "recipient")
    )
    answer = ask_of(tmp_path, replace_struct(blocked(), recipients=[record]))
    assert json.loads(why_json(answer, CODES))["fixes"][0]["command"] == "postern rule end M2"


def test_mail_that_was_accepted_needs_no_fix(tmp_path: Path) -> None:
    record = RecipientRecord("wang@harbour.example", "delivered")
    delivered = replace_struct(blocked(), recipients=[record], because=None, accepted=True)
    assert json.loads(why_json(ask_of(tmp_path, delivered), CODES))["fixes"] == []
