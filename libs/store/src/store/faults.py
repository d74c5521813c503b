"""Which errors of pymongo mean "not now", so that callers meet one exception for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo.errors import ConnectionFailure, InvalidOperation, PyMongoError

from store.errors import StoreUnavailableError

_NOT_NOW: Final = frozenset(
    {
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict, after the driver's own retries
        189,  # PrimarySteppedDown
        251,  # NoSuchTransaction: aborted by the server, such as at a restart
        262,  # ExceededTimeLimit
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
_LABELS: Final = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")


def is_passing(error: PyMongoError) -> bool:
    """The fault lies with the server or the network and will pass."""
    return (
        isinstance(error, ConnectionFailure)
        or error.timeout
        or getattr(error, "code", None) in _NOT_NOW
        or any(error.has_error_label(label) for label in _LABELS)
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn a passing fault into StoreUnavailableError; let everything else through."""
    try:
        yield
    except InvalidOperation:
        raise
    except PyMongoError as error:
        if is_passing(error):
            # The driver's own text names hosts and sometimes values; the cause keeps it for the log.
            raise StoreUnavailableError("MongoDB does not answer or cannot write now") from error
        raise
