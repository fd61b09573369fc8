"""What TLS a hop must have, as domains, senders and the site ask; and where it can't be had."""
