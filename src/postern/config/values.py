"""The kinds of values that settings have."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from msgspec import Meta

Network = IPv4Network | IPv6Network

MIB = 1024 * 1024

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Fraction = Annotated[float, Meta(gt=0, le=1)]
