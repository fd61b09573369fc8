"""What mail is, with no network, clock or disk: values, grammars and protocol machines.

Everything here is sans-IO. It is fed bytes, answers, keys and dates, and can be run to the end in
a test without a socket.
"""
