"""Engages relays for groups that are blocked and takes them back; one decider over all workers.

``controller`` decides, ``groups`` of ``routing.paths`` holds the rules, ``store`` what stands, in
``paths.db``.
"""
