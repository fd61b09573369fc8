"""One attempt on one path: SMTP, LMTP or Maildir, an Outcome per recipient."""
