"""What can go wrong on the bus, as one small tree."""


class BusError(Exception):
    """Any failure of the bus."""


class ServerTooOldError(BusError):
    """The NATS server lacks what the run log is built on. Final: the process must not start."""


class UnavailableError(BusError):
    """The broker did not answer within the budget. The write may or may not be stored; repeating it with the same id is safe."""


class FencedError(BusError):
    """A newer claim holds the run; this worker must stop working on it. The entry is not stored, unless an earlier try
    of the same call was stored and only its acknowledgement was lost: whoever took over has read it then."""


class ClaimLostError(BusError):
    """Somebody else claimed first. Nothing was stored; look at the holder again."""


class StreamFullError(BusError):
    """The stream is at its limit and refused the entry. Nothing was stored."""


class ConflictError(BusError):
    """Other bytes are already stored under this message id, by an earlier call whose outcome was unknown. Nothing was
    stored now; fold the log again before writing on."""


class RevisionConflictError(BusError):
    """Somebody else changed the value first. Nothing was stored; read it again and decide anew."""
