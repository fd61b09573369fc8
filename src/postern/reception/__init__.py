"""From connection to "250": listeners, sessions, STARTTLS, AUTH, submission.

``reception`` opens the listeners, ``proxied`` reads a balancer's header, ``connection`` moves bytes
and watches the clock, ``session`` answers what the client asks, ``admission`` and ``recipients``
decide who may send what to whom, ``transaction`` and ``intake`` gather one message and make it
durable, ``record`` writes down what happened.
"""
