"""A letter to whoever runs the sender's server: what was refused, and what they can mend.

In English and Chinese, to be looked over and sent by a person; nothing is sent here.
"""

from dataclasses import dataclass

from postern.diagnosis.fixes import blocking, is_mendable
from postern.journal.record import Conversation
from postern.mail.address import parse_address, to_a_labels
from postern.mail.finding import Result
from postern.runtime.clock import rfc3339

MAX_MENDS = 12


@dataclass(frozen=True, slots=True)
class Mend:
    """What to do about one check, in both languages; ``{ip}`` and ``{domain}`` are filled in."""

    english: str
    chinese: str


_DNS = Mend(
    "See that every name server of {domain} answers, from abroad as well: ours got no answer.",
    "请确认 {domain} 的每一台域名服务器都能应答，包括来自境外的查询；我们没有得到应答。",
)
_REVERSE_DNS = Mend(
    "See that the reverse DNS of {ip} answers: ours got no answer.",
    "请确认 {ip} 的反向解析能够应答；我们没有得到应答。",
)
_SPF = Mend(
    "Let the SPF record of {domain} name the server {ip}.",
    "请在 {domain} 的 SPF 记录中加入服务器 {ip}。",
)
_DMARC = Mend(
    "Sign the mail of {domain} with DKIM, or let SPF name the server {ip}.",
    "请为 {domain} 的邮件加上 DKIM 签名，或在 SPF 记录中加入服务器 {ip}。",
)
_MENDS = {
    "ptr.missing": Mend(
        "Give the address {ip} a reverse DNS name (PTR) that leads back to it.",
        "请为 {ip} 设置反向解析（PTR），并使该名称能解析回此地址。",
    ),
    "ptr.mismatch": Mend(
        "Let the reverse DNS name of {ip} lead back to that address.",
        "请使 {ip} 的反向解析名称能解析回此地址。",
    ),
    "ptr.couldnt-tell": _REVERSE_DNS,
    "helo.invalid": Mend(
        "Let the server call itself (HELO) by its full host name, such as mail.{domain}.",
        "请让服务器在 HELO 中使用完整的主机名，例如 mail.{domain}。",
    ),
    "helo.own-name": Mend(
        "Let the server call itself (HELO) by its own name, not by ours.",
        "请让服务器在 HELO 中使用自己的名称，而不是我们的名称。",
    ),
    "helo.unresolvable": Mend(
        "Give the name that the server calls itself (HELO) an address in DNS.",
        "请为服务器在 HELO 中使用的名称设置地址记录（A 或 AAAA）。",
    ),
    "dnsbl.listed": Mend(
        "Mend what the blocklist found, then ask it to take {ip} off.",
        "请先解决被列入黑名单的原因，再向该名单申请移除 {ip}。",
    ),
    "mailfrom.no-domain": Mend(
        "Use a sender address whose domain exists; {domain} does not.",
        "请使用域名存在的发件地址；{domain} 不存在。",
    ),
    "mailfrom.no-mx": Mend(
        "Let the MX records of {domain} name servers that can be reached, each of them once.",
        "请让 {domain} 的 MX 记录指向可以连通的服务器，每台只列一次。",
    ),
    "mailfrom.dns-timeout": _DNS,
    "spf.fail": _SPF,
    "spf.softfail": _SPF,
    "spf.couldnt-tell": _DNS,
    "dkim.couldnt-tell": _DNS,
    "dkim.fail": Mend(
        "The DKIM signature does not hold: see that nothing changes the mail after it is signed.",
        "DKIM 签名校验未通过：请确认邮件签名之后没有再被改动。",
    ),
    "dmarc.reject": _DMARC,
    "dmarc.quarantine": _DMARC,
    "dmarc.couldnt-tell": _DNS,
}


def letter(c: Conversation, code: str, hostname: str) -> str:
    """The draft, with the fields of its header; empty where there is nothing they could mend.

    Args:
        c: a conversation that came in.
        code: its trace code.
        hostname: our own name.
    """
    sender = parse_address(c.mail_from)
    domain = "" if sender is None or sender.is_literal else to_a_labels(sender.domain) or ""
    mends = _mends(c)
    if c.direction != "in" or not mends or not domain:
        return ""
    checks = ", ".join(blocking(c))
    recipient = c.recipients[0].address if c.recipients else hostname
    facts = (c.client_ip, c.helo, c.mail_from, recipient, rfc3339(c.at), code, checks)
    return "\n".join(
        [
            f"To: postmaster@{domain}",
            f"Subject: Your mail to {recipient} was not accepted ({code})",
            "",
            *_part(_ENGLISH, facts, [one.english for one in mends], c.client_ip, domain),
            "",
            *_part(_CHINESE, facts, [one.chinese for one in mends], c.client_ip, domain),
        ]
    )


_ENGLISH = (
    "Dear postmaster,",
    "Our mail server did not accept a message from yours. This is what we saw:",
    ("Server", "It calls itself", "Sender", "Recipient", "When", "Trace code", "Because"),
    "What would help:",
    "Please name the trace code when you write back. postmaster@ here takes mail from everybody.",
)
_CHINESE = (
    "邮件管理员您好：",
    "我们的邮件服务器未能接收贵方的一封邮件。我们看到的情况如下：",
    ("服务器", "HELO 名称", "发件人", "收件人", "时间", "追踪码", "原因"),
    "建议处理：",
    "回信时请注明追踪码。本站 postmaster@ 地址接收所有来信。",
)


def _part(
    words: tuple[str, str, tuple[str, ...], str, str],
    facts: tuple[str, ...],
    mends: list[str],
    ip: str,
    domain: str,
) -> list[str]:
    greeting, opening, names, help_line, closing = words
    return [
        greeting,
        "",
        opening,
        *(
            f"  {name}: {' '.join(fact.split())}"
            for name, fact in zip(names, facts, strict=True)
            if fact
        ),
        "",
        help_line,
        *(
            f"  {number}. {mend.format(ip=ip, domain=domain)}"
            for number, mend in enumerate(mends, 1)
        ),
        "",
        closing,
    ]


def _mends(c: Conversation) -> list[Mend]:
    """What refused comes first, then what was only noted; nothing twice."""
    untold = Result.COULDNT_TELL.value
    seen = [step.step for step in c.steps if is_mendable(step) or step.result == untold]
    found = dict.fromkeys(
        mend for check in (*blocking(c), *seen) if (mend := _MENDS.get(check)) is not None
    )
    return list(found)[:MAX_MENDS]
