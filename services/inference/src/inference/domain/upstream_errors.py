"""How a model provider's failures are understood: which code, which sentence, whether another try can help.

Sentences are for the person who asked. What the provider said is not repeated in them: it may quote a key or the message.
"""

from contracts.codes import RunFailure

_TOO_LONG = (
    "context_length_exceeded",
    "context length",
    "context size",
    "context window",
    "maximum context",
    "too long",
)
_POLICY = ("content_filter", "content_policy", "responsible_ai", "safety system")
_QUOTA = ("insufficient_quota", "billing", "credit balance", "quota exceeded")

_UNAVAILABLE = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


class UpstreamError(Exception):
    """A model call failed. `retryable`: the same call may succeed later, given that nothing of it was shown.

    `retry_after` is the provider's wish in seconds. `detail` is for logs: the provider's error type or code, never its text.
    """

    def __init__(
        self,
        code: RunFailure,
        sentence: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.retryable = retryable
        self.retry_after = retry_after
        self.detail = detail


def unavailable(why: str, *, detail: str = "", retry_after: float | None = None) -> UpstreamError:
    """The provider did not answer, or said that it cannot now."""
    return UpstreamError(
        RunFailure.UPSTREAM_UNAVAILABLE,
        f"The model's provider {why}. Nothing was lost; send the message again in a moment.",
        retryable=True,
        retry_after=retry_after,
        detail=detail,
    )


def incomplete(why: str, *, detail: str = "") -> UpstreamError:
    """The stream broke off; what was written stays. Retryable as long as nothing was."""
    return UpstreamError(
        RunFailure.UPSTREAM_INCOMPLETE,
        f"The model's answer broke off: the provider {why}. What is shown is stored; ask again for a whole answer.",
        retryable=True,
        detail=detail,
    )


def refused(said: str = "") -> UpstreamError:
    """The model or the provider's filter declined."""
    words = " ".join(said.split())[:500]
    sentence = (
        f"The model declined to answer: {words}" if words else "The provider's content filter stopped the answer."
    )
    return UpstreamError(RunFailure.REFUSED, sentence, detail="refused")


def error_of_status(
    status: int, *, said: str = "", kind: str = "", retry_after: float | None = None, model: str = ""
) -> UpstreamError:
    """What an HTTP status means, with the provider's message (`said`) and error type or code (`kind`) looked at."""
    detail = f"http {status} {kind}".strip()
    hint = f"{kind} {said}".lower()
    if status == 429:
        if any(mark in hint for mark in _QUOTA):
            return _rejected("has no credit left for this server; its operator must look at the account", detail)
        return UpstreamError(
            RunFailure.RATE_LIMITED,
            "The model's provider is limiting requests. Send the message again in a minute.",
            retryable=True,
            retry_after=retry_after,
            detail=detail,
        )
    if status in (400, 413, 422) and any(mark in hint for mark in _TOO_LONG):
        return UpstreamError(
            RunFailure.CONTEXT_TOO_LONG,
            "The conversation is longer than this model can read. Start a new thread, or choose a model with more room.",
            detail=detail,
        )
    if status in (400, 403) and any(mark in hint for mark in _POLICY):
        error = refused()
        error.detail = detail
        return error
    if status in (401, 403):
        return _rejected("refused this server's key; its operator must check it", detail)
    if status == 404:
        return _rejected(f"does not know the model {model or 'asked for'}; choose another one", detail)
    if status in _UNAVAILABLE or status >= 500:
        return unavailable(f"answered with an error ({status})", detail=detail, retry_after=retry_after)
    return _rejected(f"refused the request ({status}); choose another model or tell the operator", detail)


def error_in_stream(said: str, kind: str, status: int | None) -> UpstreamError:
    """An error object that came within an answer of status 200."""
    if status is not None and 400 <= status <= 599:
        return error_of_status(status, said=said, kind=kind)
    hint = f"{kind} {said}".lower()
    if "rate" in hint and "limit" in hint:
        return error_of_status(429, said=said, kind=kind)
    if any(mark in hint for mark in _TOO_LONG):
        return error_of_status(400, said=said, kind=kind)
    return unavailable("reported an error of its own", detail=kind or "error in stream")


def _rejected(why: str, detail: str) -> UpstreamError:
    return UpstreamError(RunFailure.UPSTREAM_REJECTED, f"The model's provider {why}.", detail=detail)
