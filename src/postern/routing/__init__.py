"""Where a recipient's mail goes next: local, a gateway, a relay, or mail hosts and their order.

``router.Router`` is the door. ``places`` tells what is ours, ``mx`` and ``hosts`` ask DNS,
``plan`` puts what they found in order, ``group`` and ``providers`` name the MX group, ``loops``
knows ourselves. ``paths`` knows how well the ways there do.
"""
