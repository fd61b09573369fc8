# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""The letter that tells the owner of an account, and the postmaster, that it sends nothing more."""

from hashlib import blake2b

from postern.mail.address import Address
from postern.mail.dsn import Letter, compose_plain
from postern.mail.message.text import clean_text
from postern.notices.guard import DAEMON
from postern.notices.layout import columns, moment, paragraph, paragraph_zh
from postern.notices.settings import NoticeSettings


def frozen_letter(
    account: Address, to: Address, reason: str, trace: str, settings: NoticeSettings, now: float
) -> bytes:
    """The whole message, every line ended by CR LF.

    Args:
        account: who is frozen.
        to: who is told.
        reason: why, as a clause without a full stop.
        trace: the letter's own code.
        settings: names and times.
        now: seconds since 1970.
    """
    support = settings.support_address
    text = "\n".join(
        [
            paragraph(f"{account} sends nothing for now."),
            "",
            columns(
                [
                    ("Why", clean_text(reason)),
                    ("Since", moment(now, settings)),
                    ("What waits", "kept, and sent once the account may send again"),
                    ("Code", trace),
                ]
            ),
            "",
            paragraph(
                "If you did not send that much, somebody knows your password: change it now, on"
                f" every device. Then write to {support}. If you did, write to {support} as well:"
                " it is let go at once. You go on receiving mail."
            ),
            "",
            paragraph_zh(
                f"{account} 暂时不能发送邮件：短时间内向过多从未联系过的地址发信。"
                "等待中的邮件已保留，恢复后会继续发送；收信不受影响。"
                "如果不是您本人所为，说明密码已泄露：请立即在所有设备上更改密码，"
                f"并联系 {support}。如果是您本人发送，也请联系 {support}，会立即恢复。"
            ),
            "",
        ]
    )
    hashed = blake2b(f"{account} {to} {now}".encode(), digest_size=6).hexdigest()
    return compose_plain(
        Letter(
            sender_name=f"Mail delivery at {settings.site_name}",
            sender=Address(DAEMON, settings.hostname),
            to=to,
            subject=f"{account} sends nothing for now",
            text=text,
            message_id=f"<frozen.{trace}.{hashed}@{settings.hostname}>",
            at=now,
            auto_submitted="auto-generated",
        )
    )
