"""Tests for apps that use Pusher, against a heliostat broker."""

from .conditions import (
    Condition,
    connections,
    delivered,
    event,
    logged,
    members,
    nothing,
    refused,
    resumed,
    signed_in,
    subscribers,
    webhook,
)
from .control import App, Broker, Connection, Counts, Endpoint, Entry, Fault, Log, NextDue, Outcome, Timed
from .errors import ControlError, HeliostatError, NotMet

__all__ = [
    "App",
    "Broker",
    "Condition",
    "Connection",
    "ControlError",
    "Counts",
    "Endpoint",
    "Entry",
    "Fault",
    "HeliostatError",
    "Log",
    "NextDue",
    "NotMet",
    "Outcome",
    "Timed",
    "connections",
    "delivered",
    "event",
    "logged",
    "members",
    "nothing",
    "refused",
    "resumed",
    "signed_in",
    "subscribers",
    "webhook",
]
