"""The header Idempotency-Key, for every call that makes something."""

from typing import Annotated

from fastapi import Depends, Header

from gateway.domain.idempotency import check_key


def key_of(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A name of this request, so that it can be repeated: the same key with the same request makes one thing "
            "and gives the same answer; with another request it is refused with `idempotency_mismatch`."
        ),
    ] = None,
) -> str:
    """The caller's key, empty where there is none. Raises Refusal."""
    return check_key(idempotency_key)


Key = Annotated[str, Depends(key_of)]
