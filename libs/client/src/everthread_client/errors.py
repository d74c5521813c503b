"""What can go wrong for a client, as one small tree."""


class EverthreadError(Exception):
    """Any failure of this client."""


class ProblemError(EverthreadError):
    """Everthread refused the request (RFC 9457). `code` is stable (contracts.codes.Code); repeating it changes nothing."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail or code} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail


class RejectedError(EverthreadError):
    """Conversation has rejected an append, with the reason: nothing was stored. `code` is stable (contracts.codes.Code)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail


class UnreachableError(EverthreadError):
    """No gateway answered within the client's patience. A message that was being sent may or may not be accepted; sending
    it again with the same idempotency key is safe. What was being followed goes on without us; follow it again later."""


class BrokenStreamError(EverthreadError):
    """The server's events contradict themselves and go on doing so after reconnecting: events of the run are missing."""
