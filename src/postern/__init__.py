"""Postern: a mail server for people who host mail for others.

The message falls down the rooms and imports fall the same way; ARCHITECTURE.md shows the house.
"""

__version__ = "0.1.0"
