"""Who is in a thread, links that let others in, and who is there now."""

from typing import Annotated, Literal

from contracts.codes import Code
from contracts.ids import USER, InvalidIdError, check_id
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field, StringConstraints

from gateway.domain.identity import Principal
from gateway.domain.people import Invitation, Member
from gateway.domain.problems import Refusal
from gateway.entrypoints.patience import patience
from gateway.entrypoints.routes import Behind, Caller, ThreadId
from gateway.entrypoints.views import Body
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of
from gateway.sharing_ports import Presences, Sharing

router = APIRouter(prefix="/v1")
Given = Literal["editor", "viewer"]


class MemberView(BaseModel):
    """Somebody in a thread: owner, editor or viewer."""

    user_id: str
    role: str
    since: str


class MemberList(BaseModel):
    """The owner first, then the others in the order in which they joined."""

    items: list[MemberView]


class ChangeMember(Body):
    """The new role."""

    role: Given


class Invite(Body):
    """A link: what it lets people do, for how long (a minute to 90 days), and how many of them."""

    role: Given
    expires_in_seconds: Annotated[int, Field(ge=60, le=90 * 24 * 3600)] = 7 * 24 * 3600
    max_uses: Annotated[int, Field(ge=1, le=100)] = 1


class InvitationView(BaseModel):
    """A link, without its token."""

    id: str
    role: str
    created_at: str
    expires_at: str
    max_uses: int
    uses: int


class NewInvitationView(InvitationView):
    """A link with its token, which is shown this once: only its hash is kept."""

    token: str


class InvitationList(BaseModel):
    """Links that can still be accepted, the newest first."""

    items: list[InvitationView]


class AcceptInvitation(Body):
    """The token. Put it behind a `#` in the link, never into a path or a query, which are logged."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class PreviewView(BaseModel):
    """What a link means: `role` in the thread of that title, until `expires_at`; `own_role` is what the caller is in it already."""

    title: str
    invited_by: str
    role: str
    expires_at: str
    own_role: str | None


class JoinedView(BaseModel):
    """The thread, and what the caller may do in it now."""

    thread_id: str
    title: str
    role: str


class PresentView(BaseModel):
    """A member who is there, over how many connections, and whether they type."""

    user_id: str
    connections: int
    typing: bool


class PresenceView(BaseModel):
    """Everybody who is there now."""

    items: list[PresentView]


def sharing_of(request: Request) -> Sharing:
    """Members and invitations; refused where this gateway has none."""
    wiring: Wiring = wiring_of(request)
    if wiring.sharing is None:
        raise Refusal(Code.UNAVAILABLE, "Threads cannot be shared here just now.")
    return wiring.sharing


def presences_of(request: Request) -> Presences:
    """Who is there; refused where this gateway does not know."""
    wiring: Wiring = wiring_of(request)
    if wiring.presences is None:
        raise Refusal(Code.UNAVAILABLE, "Who is there cannot be told just now.")
    return wiring.presences


def member_id_of(
    member_id: Annotated[str, Path(description="A user's id, or `me`.")],
    caller: Annotated[Principal, Depends(principal_of)],
) -> str:
    """The member's id out of the path."""
    if member_id == "me":
        return caller.user_id
    try:
        return check_id(USER, member_id)
    except InvalidIdError as error:
        raise Refusal(Code.NOT_FOUND, "There is no such member in this thread.") from error


Shares = Annotated[Sharing, Depends(sharing_of)]
There = Annotated[Presences, Depends(presences_of)]
MemberId = Annotated[str, Depends(member_id_of)]


@router.get("/threads/{thread_id}/members", tags=["sharing"])
async def list_members(caller: Caller, sharing: Shares, thread_id: ThreadId) -> MemberList:
    """Who is in the thread. For everybody in it."""
    found = await sharing.members(caller.user_id, thread_id)
    return MemberList(items=[_member(member) for member in found])


@router.patch("/threads/{thread_id}/members/{member_id}", tags=["sharing"])
async def change_member(
    caller: Caller, sharing: Shares, thread_id: ThreadId, member_id: MemberId, body: ChangeMember
) -> MemberView:
    """Give a member another role. For the owner."""
    return _member(await sharing.change_member(caller.user_id, thread_id, member_id, body.role))


@router.post("/threads/{thread_id}/members/{member_id}/transfer", tags=["sharing"])
async def transfer_thread(caller: Caller, sharing: Shares, thread_id: ThreadId, member_id: MemberId) -> MemberView:
    """Hand the thread to a member, who owns it from then on; the caller is an editor. Repeating it changes nothing. For the
    owner."""
    return _member(await sharing.transfer(caller.user_id, thread_id, member_id))


@router.delete("/threads/{thread_id}/members/{member_id}", status_code=204, tags=["sharing"])
async def remove_member(caller: Caller, sharing: Shares, thread_id: ThreadId, member_id: MemberId) -> None:
    """Take a member out, or leave (`me`). Their open streams end within a second."""
    await sharing.remove_member(caller.user_id, thread_id, member_id)


@router.post("/threads/{thread_id}/invitations", status_code=201, tags=["sharing"])
async def invite(caller: Caller, sharing: Shares, thread_id: ThreadId, body: Invite) -> NewInvitationView:
    """Make a link that lets others in. For the owner. Sent again it makes another one: a token is shown once."""
    invitation, token = await sharing.invite(
        caller.user_id,
        thread_id,
        role=body.role,
        expires_in_seconds=body.expires_in_seconds,
        max_uses=body.max_uses,
    )
    return NewInvitationView(**_invitation(invitation).model_dump(), token=token)


@router.get("/threads/{thread_id}/invitations", tags=["sharing"])
async def list_invitations(caller: Caller, sharing: Shares, thread_id: ThreadId) -> InvitationList:
    """Links that can still be accepted. For the owner."""
    found = await sharing.invitations(caller.user_id, thread_id)
    return InvitationList(items=[_invitation(invitation) for invitation in found])


@router.delete("/threads/{thread_id}/invitations/{invitation_id}", status_code=204, tags=["sharing"])
async def revoke_invitation(
    caller: Caller, sharing: Shares, thread_id: ThreadId, invitation_id: Annotated[str, Path(max_length=64)]
) -> None:
    """Take a link back; who came in by it stays. For the owner."""
    await sharing.revoke(caller.user_id, thread_id, invitation_id)


@router.post("/invitations/preview", tags=["sharing"])
async def preview_invitation(caller: Caller, sharing: Shares, body: AcceptInvitation) -> PreviewView:
    """What a link lets one into, before one comes in; nothing is used up and nobody is told. Refused like accepting it."""
    found = await sharing.preview(caller.user_id, body.token)
    return PreviewView(
        title=found.title,
        invited_by=found.invited_by,
        role=found.role,
        expires_at=found.expires_at,
        own_role=found.own_role or None,
    )


@router.post("/invitations/accept", tags=["sharing"])
async def accept_invitation(caller: Caller, sharing: Shares, body: AcceptInvitation) -> JoinedView:
    """Come in by a link. Repeating it changes nothing; a link that expired, was used up or taken back is gone."""
    joined = await sharing.accept(caller.user_id, body.token)
    return JoinedView.model_validate(joined, from_attributes=True)


@router.get("/threads/{thread_id}/presence", tags=["sharing"])
async def get_presence(caller: Caller, wiring: Behind, there: There, thread_id: ThreadId) -> PresenceView:
    """Who watches the thread now, or types. On the thread's event stream it comes as the event `presence`."""
    await wiring.conversation.get_thread(caller.user_id, thread_id)
    async with patience():
        found = await there.read(thread_id)
    return PresenceView(items=[PresentView.model_validate(one, from_attributes=True) for one in found])


@router.post("/threads/{thread_id}/typing", status_code=204, tags=["sharing"])
async def post_typing(caller: Caller, wiring: Behind, there: There, thread_id: ThreadId) -> None:
    """Show the others that the caller types: for five seconds, so say it again every three. Not for viewers."""
    thread = await wiring.conversation.get_thread(caller.user_id, thread_id)
    if thread.role == "viewer":
        raise Refusal(
            Code.FORBIDDEN, "You may watch this thread but not write in it; ask its owner to make you an editor."
        )
    async with patience():
        await there.typing(thread_id, caller.user_id)


def _member(member: Member) -> MemberView:
    return MemberView.model_validate(member, from_attributes=True)


def _invitation(invitation: Invitation) -> InvitationView:
    return InvitationView.model_validate(invitation, from_attributes=True)
