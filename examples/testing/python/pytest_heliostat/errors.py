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
        # Its own arguments, so that it can be pickled: a process pool hands errors on in that way.
        super().__init__(method, path, status, text)
        self.method = method
        self.path = path
        self.status = status
        self._text = text

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status}: {self._text}"


class NotMet(AssertionError):
    """What a test waited for did not come; `outcome` is the broker's answer."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return self.outcome["message"]
