# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""Success notices: only where the sender asked for them with NOTIFY=SUCCESS.

``delivered``: it is in a mailbox of ours. ``relayed``: handed to a server that knows no DSN, so no
more will be heard. ``expanded``: an alias or list passed it on to several, and reports end here. A
server that does know DSN was handed the request, and reports itself.

Source: RFC 3461 §5.2.1-3, §5.2.7.
"""

from collections.abc import Sequence

from postern.mail.dsn import Action
from postern.mail.outcome import Delivered
from postern.notices.failure import code_row
from postern.notices.guard import RateGuard, sort_out
from postern.notices.layout import columns, paragraph, paragraph_zh
from postern.notices.letter import title, write
from postern.notices.notice import Answer, Kind, NoNotice, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

_TITLES = {
    Action.DELIVERED: "Delivered",
    Action.RELAYED: "Passed on",
    Action.EXPANDED: "Passed on",
}
_SENTENCES = {
    Action.DELIVERED: "{address}: delivered to the mailbox.",
    Action.RELAYED: "{address}: accepted by the next mail server, which sends no reports.",
    Action.EXPANDED: "{address}: passed on to the addresses behind it; no more reports follow.",
}
_SENTENCES_ZH = {
    Action.DELIVERED: "{address}：已送达邮箱。",
    Action.RELAYED: "{address}：已由下一台邮件服务器接收，该服务器不再发送报告。",
    Action.EXPANDED: "{address}：已转给其后的各个地址，不再另行报告。",
}


def success_notice(
    original: Original,
    ends: Sequence[RecipientEnd],
    *,
    settings: NoticeSettings,
    rate: RateGuard,
    now: float,
    expanded: bool = False,
) -> tuple[Answer, ...]:
    """What is owed for recipients of one message whose outcomes are Delivered.

    At most one notice; each end is in exactly one answer, and nothing here is ever held.

    Args:
        original: the message.
        ends: the recipients; ``is_ours`` tells our own mailboxes from what was handed on.
        settings: names and limits.
        rate: counts notices to senders outside.
        now: seconds since 1970.
        expanded: the ends are aliases with several targets, not their targets; those are then to
            be delivered without NOTIFY=SUCCESS (RFC 3461 §5.2.7.2).
    """
    told, refusals = sort_out(original, ends, Kind.SUCCESS, settings)
    answers: list[Answer] = list(refusals)
    owed: list[tuple[RecipientEnd, Action]] = []
    theirs: list[RecipientEnd] = []
    for end in told:
        action = Action.EXPANDED if expanded else _action(end)
        if action is None:
            theirs.append(end)
        else:
            owed.append((end, action))
    if theirs:
        answers.append(NoNotice("the next server reports itself", tuple(theirs)))
    if not owed:
        return tuple(answers)
    about = tuple(end for end, _ in owed)
    if not rate.admit(original, now):
        return (NoNotice("too many notices to such senders within an hour", about), *answers)
    actions = [action for _, action in owed]
    what = _TITLES[actions[0]] if len(set(actions)) == 1 else "Delivered or passed on"
    notice = write(
        original,
        about,
        actions,
        kind=Kind.SUCCESS,
        subject=title(what, original, about),
        text=_text(original, owed, settings),
        settings=settings,
        now=now,
    )
    return (notice, *answers)


def _action(end: RecipientEnd) -> Action | None:
    """What is to be reported, or None where the next server will."""
    if not isinstance(end.outcome, Delivered):
        raise TypeError("a success notice about a recipient that was not delivered")
    if end.is_ours:
        return Action.DELIVERED
    return Action.RELAYED if end.outcome.relayed_without_dsn else None


def _text(
    original: Original, owed: Sequence[tuple[RecipientEnd, Action]], settings: NoticeSettings
) -> str:
    lines = [_SENTENCES[action].format(address=end.address) for end, action in owed]
    lines_zh = [_SENTENCES_ZH[action].format(address=end.address) for end, action in owed]
    blocks = [
        "You asked to be told what becomes of your message:",
        "\n".join(paragraph(line) for line in lines),
        columns([code_row(original, settings)]),
        "您要求告知邮件的投递结果：",
        "\n".join(paragraph_zh(line) for line in lines_zh),
    ]
    return "\n\n".join(blocks) + "\n"
