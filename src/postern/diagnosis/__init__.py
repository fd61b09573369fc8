"""Answers in words: why a message was refused, held up or delivered."""
