"""What can go wrong with an exported signal."""

from __future__ import annotations


class SignalError(Exception):
    """An export that cannot be used, or used so. `field` says what is wrong, the message how to
    help."""

    def __init__(self, field: str, message: str):
        self.field = field
        super().__init__(f"{field}: {message}")
