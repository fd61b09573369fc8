# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""Why, and what to do: plain sentences in English and Chinese for each way a delivery can end.

A sentence names the cause first and needs no knowledge of SMTP; a peer's own reply is quoted
elsewhere. Where a peer's enhanced status code is more exact than its reply code, it decides
(RFC 3463, RFC 5248, RFC 7372, RFC 7505); a code we do not know says no more than that the server
refused.
"""

from dataclasses import dataclass, replace

from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Words:
    """One cause in both languages; ``{domain}``, ``{address}``, ``{support}`` are filled in."""

    why: str
    todo: str
    why_zh: str
    todo_zh: str

    def filled(self, *, domain: str, address: str, support: str) -> "Words":
        """The sentences with their names put in."""
        return Words(
            *(
                text.format(domain=domain, address=address, support=support)
                for text in (self.why, self.todo, self.why_zh, self.todo_zh)
            )
        )


_NO_MAILBOX = Words(
    "That address does not exist at {domain}.",
    "Check the spelling, or ask the recipient for the right address.",
    "对方没有这个地址。",
    "请检查拼写，或向收件人核实正确的地址。",
)
_NO_DOMAIN = Words(
    "The domain {domain} does not exist.",
    "Check the spelling of what stands behind the @.",
    "域名 {domain} 不存在。",
    "请检查 @ 后面的域名是否拼写正确。",
)
_NO_MAIL_HOST = Words(
    "{domain} does not take mail: it has no mail server.",
    "Check the spelling of what stands behind the @, or ask the recipient for another address.",
    "{domain} 没有邮件服务器，不接收邮件。",
    "请检查 @ 后面的域名，或向收件人索取其他地址。",
)
_DISABLED = Words(
    "That mailbox exists no longer or is switched off at {domain}.",
    "Ask the recipient for another address.",
    "该邮箱在 {domain} 已停用。",
    "请向收件人索取其他地址。",
)
_FULL = Words(
    "The recipient's mailbox is full.",
    "Tell the recipient by another way, and send the message again later.",
    "对方邮箱已满。",
    "请用其他方式告知收件人，稍后再重新发送。",
)
_TOO_BIG = Words(
    "The message is too large for the mail server of {domain}.",
    "Send less at a time, or put large files where the recipient can fetch them.",
    "邮件太大，{domain} 的服务器不接收。",
    "请减小附件，或把大文件放到收件人可以下载的地方。",
)
_SYSTEM_FULL = Words(
    "The mail server of {domain} has no room left.",
    "This is for {domain} to mend. Send the message again later.",
    "{domain} 的邮件服务器空间不足。",
    "这需要由对方解决，请稍后重新发送。",
)
_OFF_DUTY = Words(
    "The mail server of {domain} takes no mail at present.",
    "This is for {domain} to mend. Send the message again later.",
    "{domain} 的邮件服务器目前不接收邮件。",
    "这需要由对方解决，请稍后重新发送。",
)
_SILENT = Words(
    "The mail server of {domain} does not answer.",
    "Nothing is wrong with your message. Tell the recipient by another way if it is urgent.",
    "{domain} 的邮件服务器没有响应。",
    "您的邮件没有问题。如有急事，请用其他方式联系收件人。",
)
_BROKEN_LINE = Words(
    "The connection to the mail server of {domain} breaks off.",
    "Nothing is wrong with your message. If it goes on, ask {support}.",
    "与 {domain} 邮件服务器的连接中断。",
    "您的邮件没有问题。如果持续发生，请联系 {support}。",
)
_TLS = Words(
    "No safe connection (TLS) to the mail server of {domain} could be made.",
    "Nothing is wrong with your message. If it goes on, ask {support}.",
    "无法与 {domain} 的邮件服务器建立安全连接（TLS）。",
    "您的邮件没有问题。如果持续发生，请联系 {support}。",
)
_UNENCRYPTED = Words(
    "The message must be encrypted on its way, and no mail server of {domain} offers that.",
    "It was not sent in the clear. Ask {support} if it may go unencrypted, or use another way.",
    "邮件要求加密传输，而 {domain} 的邮件服务器均不提供加密。",
    "邮件没有以明文发出。如可不加密发送，请联系 {support}，或改用其他方式。",
)
_DNS = Words(
    "We could not find out which server takes mail for {domain}: its DNS does not answer.",
    "This is for {domain} to mend. Tell the recipient by another way if it is urgent.",
    "{domain} 的 DNS 没有响应，无法得知由哪台服务器接收邮件。",
    "这需要由对方解决。如有急事，请用其他方式联系收件人。",
)
_LOOP = Words(
    "The mail would go round in circles: {domain} points back to where it came from.",
    "The administrator of {domain} must mend its forwarding or MX records.",
    "邮件陷入循环：{domain} 又指回了来源服务器。",
    "需要 {domain} 的管理员修正转发或 MX 设置。",
)
_NEEDS = Words(
    "The mail server of {domain} is too old for something in your message, such as an"
    " international address.",
    "Use plain Latin addresses and, if you can, attachments of an ordinary kind.",
    "{domain} 的邮件服务器不支持您邮件中的某项功能（例如国际化地址）。",
    "请改用普通的英文邮件地址后重新发送。",
)
_PROTOCOL = Words(
    "The mail server of {domain} does not answer as a mail server should.",
    "Nothing is wrong with your message. If it goes on, ask {support}.",
    "{domain} 的邮件服务器应答不正常。",
    "您的邮件没有问题。如果持续发生，请联系 {support}。",
)
_LOCAL = Words(
    "Our own server could not store the message.",
    "Nothing is wrong with your message. Please tell {support}.",
    "我们的服务器未能保存这封邮件。",
    "您的邮件没有问题，请告知 {support}。",
)
_NO_EGRESS = Words(
    "The way out that our own server was told to use is not set up.",
    "Nothing is wrong with your message. Please tell {support}.",
    "我们的服务器没有配置指定的外发线路。",
    "您的邮件没有问题，请告知 {support}。",
)
_LOCKED_OUT = Words(
    "The relay that our own server sends mail through does not take it from us.",
    "Nothing is wrong with your message. Please tell {support}.",
    "我们的服务器所用的中继服务器不接受我们的邮件。",
    "您的邮件没有问题，请告知 {support}。",
)
_EXPIRED = Words(
    "The mail server of {domain} did not take the message in all the time we tried.",
    "Tell the recipient by another way, and send the message again later.",
    "在规定的时间内，{domain} 的邮件服务器一直没有接收这封邮件。",
    "请用其他方式告知收件人，稍后再重新发送。",
)
_CANCELLED = Words(
    "Our staff stopped the delivery.",
    "Ask {support} why.",
    "我们的管理员取消了这封邮件的投递。",
    "原因请咨询 {support}。",
)
_BUG = Words(
    "Our own server met an error.",
    "Nothing is wrong with your message. Please tell {support}.",
    "我们的服务器出现错误。",
    "您的邮件没有问题，请告知 {support}。",
)
_LIMIT = Words(
    "Your account sends to more recipients than it may in one day.",
    "Nothing is wrong with your message. If you need to send more, ask {support}.",
    "您的账户一天内的收件人数量超过了限额。",
    "您的邮件没有问题；如需发送更多，请联系 {support}。",
)
_POLICY = Words(
    "The mail server of {domain} refuses this message by a rule of its own.",
    "Read below what it said, and ask the recipient or {support} for help.",
    "{domain} 的邮件服务器按其规则拒收了这封邮件。",
    "请查看下方对方服务器的答复，并向收件人或 {support} 求助。",
)
_SENDER_PROOF = Words(
    "The mail server of {domain} could not confirm that the message comes from you.",
    "This is not for the recipient to mend. Please send this notice to {support}.",
    "{domain} 的邮件服务器无法确认这封邮件由您发出。",
    "这不是收件人的问题，请把本通知转给 {support}。",
)
_SENDER_DOMAIN = Words(
    "The mail server of {domain} does not accept your own address or its domain.",
    "Please send this notice to {support}.",
    "{domain} 的邮件服务器不接受您的发件地址或其域名。",
    "请把本通知转给 {support}。",
)
_TOO_MANY = Words(
    "The message had too many recipients for the mail server of {domain}.",
    "Send it to fewer people at a time.",
    "收件人太多，{domain} 的邮件服务器不接收。",
    "请减少每次发送的收件人数量。",
)
_CONTENT = Words(
    "The mail server of {domain} does not accept what is in the message.",
    "Read below what it said; send the message without attachments, or in another form.",
    "{domain} 的邮件服务器不接受邮件的内容。",
    "请查看下方对方服务器的答复，去掉附件或换一种格式后重新发送。",
)
_GREYLISTED = Words(
    "The mail server of {domain} asks us to try again later.",
    "Nothing to do: many servers do this to senders they do not know yet.",
    "{domain} 的邮件服务器要求稍后再试。",
    "您无需做任何事：许多服务器对陌生发件人都会这样。",
)
_REFUSED = Words(
    "The mail server of {domain} refused the message.",
    "Read below what it said, and ask the recipient or {support} for help.",
    "{domain} 的邮件服务器拒收了这封邮件。",
    "请查看下方对方服务器的答复，并向收件人或 {support} 求助。",
)

_MEANT = (
    " You wrote to {meant} {month}; that one works.",
    "您曾在{month_zh}写信到 {meant}，该地址有效。",
)


def with_meant(words: Words, meant: str, month: str, month_zh: str) -> Words:
    """With whom the sender may have meant: ``month`` is ``in March``, ``month_zh`` ``3月``."""
    todo, todo_zh = (text.format(meant=meant, month=month, month_zh=month_zh) for text in _MEANT)
    return replace(words, todo=words.todo + todo, todo_zh=words.todo_zh + todo_zh)


_BY_CAUSE = {
    Cause.REFUSED: _SILENT,
    Cause.SILENT: _SILENT,
    Cause.RESET: _BROKEN_LINE,
    Cause.CLOSED: _BROKEN_LINE,
    Cause.LOST_AFTER_DOT: _BROKEN_LINE,
    Cause.TLS: _TLS,
    Cause.UNENCRYPTED: _UNENCRYPTED,
    Cause.DNS: _DNS,
    Cause.NO_DOMAIN: _NO_DOMAIN,
    Cause.NO_MAIL_HOST: _NO_MAIL_HOST,
    Cause.NO_MAILBOX: _NO_MAILBOX,
    Cause.LOOP: _LOOP,
    Cause.NEEDS: _NEEDS,
    Cause.PROTOCOL: _PROTOCOL,
    Cause.LOCAL: _LOCAL,
    Cause.LOCKED_OUT: _LOCKED_OUT,
    Cause.NO_EGRESS: _NO_EGRESS,
    Cause.LIMIT: _LIMIT,
    Cause.EXPIRED: _EXPIRED,
    Cause.CANCELLED: _CANCELLED,
    Cause.BUG: _BUG,
}

_BY_STATUS = {  # without the class digit: 4.2.2 and 5.2.2 are both a full mailbox
    "1.0": _NO_MAILBOX,
    "1.1": _NO_MAILBOX,
    "1.2": _NO_DOMAIN,
    "1.3": _NO_MAILBOX,
    "1.4": _NO_MAILBOX,
    "1.6": _DISABLED,
    "1.7": _SENDER_DOMAIN,
    "1.8": _SENDER_DOMAIN,
    "1.10": _NO_MAIL_HOST,
    "2.1": _DISABLED,
    "2.2": _FULL,
    "2.3": _TOO_BIG,
    "3.1": _SYSTEM_FULL,
    "3.2": _OFF_DUTY,
    "3.4": _TOO_BIG,
    "4.1": _SILENT,
    "4.2": _BROKEN_LINE,
    "4.3": _DNS,
    "4.4": _DNS,
    "4.5": _OFF_DUTY,
    "4.6": _LOOP,
    "4.7": _EXPIRED,
    "5.3": _TOO_MANY,
    "6.0": _CONTENT,
    "6.1": _CONTENT,
    "6.2": _CONTENT,
    "6.3": _CONTENT,
    "6.7": _NEEDS,
    "6.9": _NEEDS,
    "7.0": _POLICY,
    "7.1": _POLICY,
    "7.2": _POLICY,
    "7.10": _POLICY,
    "7.20": _SENDER_PROOF,
    "7.21": _SENDER_PROOF,
    "7.22": _SENDER_PROOF,
    "7.23": _SENDER_PROOF,
    "7.24": _SENDER_PROOF,
    "7.25": _SENDER_PROOF,
    "7.26": _SENDER_PROOF,
    "7.27": _SENDER_DOMAIN,
}

_BY_CODE = {550: _REFUSED, 551: _DISABLED, 552: _FULL, 553: _NO_MAILBOX, 554: _REFUSED}


def words_for(outcome: Deferred | Refused) -> Words:
    """The sentences for one outcome, still with their places to fill in."""
    if outcome.cause is not Cause.REPLY:
        return _BY_CAUSE[outcome.cause]
    return _words_for_reply(outcome.reply)


def is_no_mailbox(outcome: Deferred | Refused) -> bool:
    """True where the words would be that the address does not exist."""
    return words_for(outcome) is _NO_MAILBOX


def _words_for_reply(reply: Reply) -> Words:
    """The sentences for what a peer said."""
    _, _, detail = reply.enhanced.partition(".")
    # A 4.7 is "not yet" far more often than a verdict, and a bare 4xx says no more than that.
    if reply.is_transient and (detail.startswith("7.") or detail not in _BY_STATUS):
        return _GREYLISTED
    if detail in _BY_STATUS:
        return _BY_STATUS[detail]
    return _BY_CODE.get(reply.code, _REFUSED)
