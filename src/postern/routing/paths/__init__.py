"""What is known of paths: how well they do, who is told, what is kept of it, and when to test.

``health`` weighs what was seen, ``board`` is where a worker looks, ``store`` is ``paths.db``.
"""
