"""Why a request is refused: a stable code for programs and a sentence for people."""

from contracts.codes import Code
from contracts.ids import MESSAGE, RUN, THREAD, InvalidIdError, check_id


class RefusedError(Exception):
    """The request cannot be carried out as it is; nothing was stored."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


_NOT_FOUND = {
    THREAD: (Code.THREAD_NOT_FOUND, "There is no such thread."),
    MESSAGE: (Code.MESSAGE_NOT_FOUND, "There is no such message in this thread."),
    RUN: (Code.RUN_NOT_FOUND, "There is no such run."),
}


def not_found(prefix: str) -> RefusedError:
    """What a caller is told about something that does not exist or is somebody else's: the same in both cases."""
    return RefusedError(*_NOT_FOUND[prefix])


def known_id(prefix: str, text: str) -> str:
    """Return `text` if it is well formed; a malformed id names nothing that exists."""
    try:
        return check_id(prefix, text)
    except InvalidIdError:
        raise not_found(prefix) from None


def unknown_model(model: str) -> RefusedError:
    """A model that the registry does not have, or whose provider is not configured here."""
    return RefusedError(
        Code.MODEL_UNKNOWN, f"The model {model[:100]!r} is not available here; GET /v1/models lists those that are."
    )
