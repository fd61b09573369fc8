"""Why a message is held, for its owner: one plain sentence in each language for each check.

Whoever reads it does not run a server: what was looked at, and what it means for him.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InBoth:
    """The same words in English and Chinese."""

    en: str
    zh: str


_WHY = {
    "rule.block": InBoth("a rule of this mailbox or its domain refuses it", "被邮箱或域的规则拦截"),
    "rule.hold": InBoth("a rule of this mailbox or its domain holds it", "被邮箱或域的规则隔离"),
    "ptr": InBoth("the server it came from has no proper name", "发信服务器没有正确的反向域名"),
    "helo": InBoth("the server it came from gives a false name", "发信服务器自报的名称有误"),
    "dnsbl": InBoth("the server it came from is on a block list", "发信服务器在黑名单上"),
    "mailfrom": InBoth("its sender's address cannot be answered", "发件人地址无法接收回信"),
    "spf": InBoth(
        "the sender's domain does not let that server send for it", "发件人域名未授权该服务器发信"
    ),
    "dkim": InBoth("its signature does not hold", "邮件签名无效"),
    "dmarc": InBoth(
        "nothing proves that it comes from the address it shows", "无法证明邮件来自所显示的发件人"
    ),
    "standards": InBoth("it is not written as mail has to be", "邮件格式不符合标准"),
    "virus": InBoth("a virus was found in it", "发现病毒"),
    "spam": InBoth("it looks like spam", "疑似垃圾邮件"),
    "content": InBoth("it carries a file of a kind that is not taken", "附件类型不被接受"),
    "command": InBoth("this site's own scanner holds it", "本站的扫描程序将其隔离"),
    "delivery": InBoth("it could not be put into the mailbox", "未能投入邮箱"),
    "greylist": InBoth("its sender is new here", "发件人首次来信"),
    "rate": InBoth("too much came at once", "短时间内来信过多"),
}
_OTHER = InBoth("one of the checks spoke against it", "未通过某项检查")


def why_held(check: str) -> InBoth:
    """The words for a check or rule, ``dmarc.reject``; for its family where it has none."""
    return _WHY.get(check) or _WHY.get(check.partition(".")[0]) or _OTHER
