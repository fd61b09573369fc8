"""What a message is made of, read while it streams in: parts, their names, what archives hold.

Nothing of a body is kept. Where mail programs differ in how they read broken mail, every reading
counts: what one of them would open must not get past because another would not.
"""
