"""Calls for administrators: the flag that chooses the path."""

from datetime import UTC, datetime
from typing import Annotated, Any

from contracts.codes import Code
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from gateway.domain.identity import Principal
from gateway.domain.path_flag import FLAG, share_of
from gateway.domain.problems import Refusal
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of
from gateway.handlers.change_flag import change_flag, definition_in, expected_revision
from gateway.handlers.tell_changes import tell_soon
from gateway.ports import Flags

router = APIRouter(prefix="/v1/admin", tags=["admin"])
HISTORY = 20


class Change(BaseModel):
    """One revision of a flag: who made it, when and why."""

    revision: int
    changed_by: str
    changed_at: str
    why: str


class FlagView(BaseModel):
    """A flag. `revision` is the newest definition, `in_force` the one that decides (0: the built-in one); `refused` says why
    they differ. `share` is the percentage on the durable path, null where no percentage decides."""

    name: str
    revision: int
    in_force: int
    refused: str | None
    share: int | None
    definition: dict[str, Any]
    history: list[Change]


def administrator(caller: Annotated[Principal, Depends(principal_of)]) -> Principal:
    """The caller, who must be an administrator."""
    if caller.role != "admin":
        raise Refusal(Code.FORBIDDEN, "This is for administrators: the token's role must be admin.")
    return caller


def flags_of(wiring: Annotated[Wiring, Depends(wiring_of)], name: str) -> Flags:
    """The flag of that name."""
    if name != FLAG or wiring.flags is None:
        raise Refusal(Code.NOT_FOUND, f"There is no flag {name[:40]!r}; there is {FLAG!r}.")
    return wiring.flags


Admin = Annotated[Principal, Depends(administrator)]
Named = Annotated[Flags, Depends(flags_of)]


async def _view(flags: Flags, response: Response) -> FlagView:
    changes = [
        Change(
            revision=revision,
            changed_by=str(said.get("changed_by", "")),
            changed_at=str(said.get("changed_at", "")),
            why=str(said.get("why", "")),
        )
        for revision, said in await flags.history(HISTORY)
    ]
    state = flags.state
    response.headers["etag"] = f'"{state.revision}"'
    return FlagView(
        name=FLAG,
        revision=state.revision,
        in_force=state.in_force,
        refused=state.refused or None,
        share=share_of(state.definition),
        definition=dict(state.definition),
        history=changes,
    )


@router.get("/flags/{name}")
async def get_flag(_: Admin, flags: Named, response: Response) -> FlagView:
    """A flag's definition, in flagd's format, and its latest changes. Its ETag is needed to change it."""
    return await _view(flags, response)


@router.put("/flags/{name}")
async def put_flag(
    caller: Admin,
    flags: Named,
    wiring: Annotated[Wiring, Depends(wiring_of)],
    request: Request,
    response: Response,
    why: Annotated[str, Query(description="Why it is changed; kept with the change.")] = "",
    if_match: Annotated[str | None, Header(description="The ETag of the definition that is replaced.")] = None,
) -> FlagView:
    """Put a definition in force at every gateway within a second. The body is the definition itself. A mistake is refused
    with its place; of two at once, one is refused."""
    definition = definition_in(await request.body())
    expected = expected_revision(if_match)
    await change_flag(flags, definition, by=caller.user_id, why=why, expected=expected, now=datetime.now(UTC))
    if wiring.rollout is not None:
        await tell_soon(flags, wiring.rollout.audit)
    return await _view(flags, response)
