"""What can go wrong between a test and its broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .control import Outcome


class HeliostatError(Exception):
    """The broker cannot be found, started or reached; the message says what to do."""


class ControlError(HeliostatError):
    """The control API refused a request; the message holds its sentence."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status}: {text}")
        self.method = method
        self.path = path
        self.status = status


class NotMet(AssertionError):
    """What a test waited for did not come; `outcome` is the broker's answer."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome["message"])
        self.outcome = outcome
