"""Why a message is held, for its owner: one plain sentence in each language for each check.

Whoever reads it does not run a server: what was looked at, and what it means for him. What could
not be found out speaks against nobody, and has sentences of its own.
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

_UNTOLD = {
    "ptr": InBoth(
        "it could not be checked whether the server it came from has a proper name",
        "无法判定发信服务器的反向域名是否正确",
    ),
    "helo": InBoth(
        "it could not be checked whether the server it came from gives its own name",
        "无法判定发信服务器自报的名称是否真实",
    ),
    "dnsbl": InBoth(
        "it could not be checked whether the server it came from is on a block list",
        "无法判定发信服务器是否在黑名单上",
    ),
    "mailfrom": InBoth(
        "it could not be checked whether its sender's address can be answered",
        "无法判定发件人地址能否接收回信",
    ),
    "spf": InBoth(
        "it could not be checked whether the sender's domain lets that server send for it",
        "无法判定发件人域名是否授权该服务器发信",
    ),
    "dkim": InBoth(
        "it could not be checked whether its signature holds", "无法判定邮件签名是否有效"
    ),
    "dmarc": InBoth(
        "it could not be checked whether it comes from the address it shows",
        "无法判定邮件是否来自所显示的发件人",
    ),
    "virus": InBoth("it could not be scanned for viruses", "无法判定是否含有病毒"),
    "spam": InBoth("it could not be checked whether it is spam", "无法判定是否为垃圾邮件"),
    "content": InBoth(
        "it could not be checked what kinds of files it carries", "无法判定附件是否为可接受的类型"
    ),
    "command": InBoth("this site's own scanner could not look at it", "本站的扫描程序无法判定"),
    "greylist": InBoth(
        "it could not be checked whether its sender is new here", "无法判定发件人是否首次来信"
    ),
}
_ANY_UNTOLD = InBoth("one of the checks could not be made", "有一项检查无法判定")
_UNTOLD_NAMES = frozenset({"couldnt-tell", "dns-timeout"})


def why_held(check: str) -> InBoth:
    """The words for a check or rule, ``dmarc.reject``; for its family where it has none."""
    family, _, name = check.partition(".")
    if name in _UNTOLD_NAMES:
        return _UNTOLD.get(family, _ANY_UNTOLD)
    return _WHY.get(check) or _WHY.get(family) or _OTHER
