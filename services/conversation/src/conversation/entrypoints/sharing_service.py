"""gRPC: members and invitations. Each call decodes, calls its handler and encodes."""

from typing import Any

import grpc
from contracts.times import rfc3339
from rpc.v1 import sharing_pb2 as pb
from rpc.v1.sharing_pb2_grpc import SharingServiceServicer

from conversation.domain.invitations import Invitation
from conversation.entrypoints.answering import answering
from conversation.handlers.accept_invitation import accept_invitation
from conversation.handlers.change_member import change_member
from conversation.handlers.create_invitation import create_invitation
from conversation.handlers.list_invitations import list_invitations
from conversation.handlers.list_members import list_members
from conversation.handlers.preview_invitation import preview_invitation
from conversation.handlers.remove_member import remove_member
from conversation.handlers.revoke_invitation import revoke_invitation
from conversation.handlers.transfer_thread import transfer_thread
from conversation.sharing_ports import SharingParts

Context = grpc.aio.ServicerContext[Any, Any]


class SharingService(SharingServiceServicer):
    """proto/rpc/v1/sharing.proto over the handlers."""

    def __init__(self, parts: SharingParts) -> None:
        self._parts = parts

    async def ListMembers(self, request: pb.ListMembersRequest, context: Context) -> pb.ListMembersResponse:
        async with answering(context):
            found = await list_members(self._parts, request.user_id, request.thread_id)
            return pb.ListMembersResponse(
                items=[pb.Member(user_id=one.user_id, role=one.role, since=rfc3339(one.since)) for one in found]
            )

    async def ChangeMember(self, request: pb.ChangeMemberRequest, context: Context) -> pb.ChangeMemberResponse:
        async with answering(context):
            one = await change_member(self._parts, request.user_id, request.thread_id, request.member_id, request.role)
            return pb.ChangeMemberResponse(
                member=pb.Member(user_id=one.user_id, role=one.role, since=rfc3339(one.since))
            )

    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Context) -> pb.RemoveMemberResponse:
        async with answering(context):
            await remove_member(self._parts, request.user_id, request.thread_id, request.member_id)
            return pb.RemoveMemberResponse()

    async def TransferThread(self, request: pb.TransferThreadRequest, context: Context) -> pb.TransferThreadResponse:
        async with answering(context):
            one = await transfer_thread(self._parts, request.user_id, request.thread_id, request.member_id)
            return pb.TransferThreadResponse(
                member=pb.Member(user_id=one.user_id, role=one.role, since=rfc3339(one.since))
            )

    async def CreateInvitation(
        self, request: pb.CreateInvitationRequest, context: Context
    ) -> pb.CreateInvitationResponse:
        async with answering(context):
            invitation, token = await create_invitation(
                self._parts,
                request.user_id,
                request.thread_id,
                role=request.role,
                expires_in_seconds=request.expires_in_seconds,
                max_uses=request.max_uses,
            )
            return pb.CreateInvitationResponse(invitation=_reply(invitation), token=token)

    async def ListInvitations(self, request: pb.ListInvitationsRequest, context: Context) -> pb.ListInvitationsResponse:
        async with answering(context):
            found = await list_invitations(self._parts, request.user_id, request.thread_id)
            return pb.ListInvitationsResponse(items=[_reply(invitation) for invitation in found])

    async def RevokeInvitation(
        self, request: pb.RevokeInvitationRequest, context: Context
    ) -> pb.RevokeInvitationResponse:
        async with answering(context):
            await revoke_invitation(self._parts, request.user_id, request.thread_id, request.invitation_id)
            return pb.RevokeInvitationResponse()

    async def PreviewInvitation(
        self, request: pb.PreviewInvitationRequest, context: Context
    ) -> pb.PreviewInvitationResponse:
        async with answering(context):
            found = await preview_invitation(self._parts, request.user_id, request.token)
            return pb.PreviewInvitationResponse(
                title=found.title,
                invited_by=found.invited_by,
                role=found.role,
                expires_at=rfc3339(found.expires_at),
                own_role=found.own_role or "",
            )

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, context: Context
    ) -> pb.AcceptInvitationResponse:
        async with answering(context):
            thread, role = await accept_invitation(self._parts, request.user_id, request.token)
            return pb.AcceptInvitationResponse(thread_id=thread.id, title=thread.title, role=role)


def _reply(invitation: Invitation) -> pb.Invitation:
    return pb.Invitation(
        id=invitation.id,
        role=invitation.role,
        created_at=rfc3339(invitation.created_at),
        expires_at=rfc3339(invitation.expires_at),
        max_uses=invitation.max_uses,
        uses=invitation.uses,
    )
