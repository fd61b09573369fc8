"""From connection to "250": listeners, sessions, STARTTLS, AUTH, submission.

``listener`` accepts, ``connection`` moves bytes and watches the clock, ``session`` answers what the
client asks, ``recipients`` decides about one RCPT, ``transaction`` gathers one message, ``record``
writes down what happened.
"""
