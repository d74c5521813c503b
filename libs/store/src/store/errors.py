"""What can go wrong with MongoDB, as one small tree. Errors of pymongo that are none of these are faults of our own code."""


class StoreError(Exception):
    """Any failure of the store."""


class StoreUnavailableError(StoreError):
    """MongoDB did not answer, or cannot write now. The write may or may not be stored; repeat it where it is idempotent."""


class NoReplicaSetError(StoreError):
    """The server is no replica set and so has no transactions. Final: the process must not start."""
