"""Read one filtered topic: one program, its topic and group as arguments."""

from consumers.consumer import Consumer, Handler
from consumers.record import Record, Undecodable, decode
from consumers.settings import GROUPS, ConsumerSettings

__all__ = ["GROUPS", "Consumer", "ConsumerSettings", "Handler", "Record", "Undecodable", "decode"]
