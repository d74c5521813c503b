"""What can end an attempt from outside while it works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person stopped the run."""

    by: str


@dataclass(frozen=True, slots=True)
class Expired:
    """The run's deadline has passed."""


@dataclass(frozen=True, slots=True)
class Draining:
    """This worker stops; another goes on."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another worker has claimed the run."""


@dataclass(frozen=True, slots=True)
class LogFailed:
    """The log took no more; `error` says why."""

    error: Exception


Interruption = Cancelled | Expired | Draining | Replaced | LogFailed
