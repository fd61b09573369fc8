"""Mail that is "not now" because DNS could not tell: since when, and until when it is kept waiting.

Whoever asks a silent DNS again and again gets no other answer, and a sender whose name servers are
out of reach from here would wait until its own server gives up. So it ends after a day.
"""
