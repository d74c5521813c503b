"""What an internal service, a script or a terminal needs to talk to Everthread: over HTTP here (send, follow, cancel), over
NATS in `everthread_client.mesh` (append, start runs, follow, offer tools)."""

from everthread_client.answers import Accepted, Thread
from everthread_client.client import EverthreadClient
from everthread_client.errors import BrokenStreamError, EverthreadError, ProblemError, RejectedError, UnreachableError

__all__ = [
    "Accepted",
    "BrokenStreamError",
    "EverthreadClient",
    "EverthreadError",
    "ProblemError",
    "RejectedError",
    "Thread",
    "UnreachableError",
]
