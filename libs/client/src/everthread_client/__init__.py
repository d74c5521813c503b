"""What an internal service, a script or a terminal needs to talk to Everthread: send, follow, cancel."""

from everthread_client.answers import Accepted, Thread
from everthread_client.client import EverthreadClient
from everthread_client.errors import BrokenStreamError, EverthreadError, ProblemError, UnreachableError

__all__ = [
    "Accepted",
    "BrokenStreamError",
    "EverthreadClient",
    "EverthreadError",
    "ProblemError",
    "Thread",
    "UnreachableError",
]
