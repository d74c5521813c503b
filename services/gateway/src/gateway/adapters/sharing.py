"""SharingService over gRPC."""

from collections.abc import Sequence
from typing import Final

from rpc.v1 import sharing_pb2 as pb
from rpc.v1.sharing_pb2_grpc import SharingServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.domain.people import Invitation, Joined, Member, Preview

SERVICE: Final = "everthread.v1.SharingService"


class GrpcSharing:
    """`sharing_ports.Sharing`. `deadline` is what one call may take, in seconds."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        reads = ("ListMembers", "ListInvitations", "PreviewInvitation")
        self._channel: Final = connect(addresses, idempotent=[f"{SERVICE}/{method}" for method in reads])
        self._stub: Final = SharingServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def members(self, user_id: str, thread_id: str) -> Sequence[Member]:
        """See sharing_ports.Sharing."""
        request = pb.ListMembersRequest(user_id=user_id, thread_id=thread_id)
        return [_member(item) for item in (await call(self._stub.ListMembers, request, self._deadline)).items]

    async def change_member(self, user_id: str, thread_id: str, member_id: str, role: str) -> Member:
        """See sharing_ports.Sharing."""
        request = pb.ChangeMemberRequest(user_id=user_id, thread_id=thread_id, member_id=member_id, role=role)
        return _member((await call(self._stub.ChangeMember, request, self._deadline)).member)

    async def transfer(self, user_id: str, thread_id: str, member_id: str) -> Member:
        """See sharing_ports.Sharing."""
        request = pb.TransferThreadRequest(user_id=user_id, thread_id=thread_id, member_id=member_id)
        return _member((await call(self._stub.TransferThread, request, self._deadline)).member)

    async def remove_member(self, user_id: str, thread_id: str, member_id: str) -> None:
        """See sharing_ports.Sharing."""
        request = pb.RemoveMemberRequest(user_id=user_id, thread_id=thread_id, member_id=member_id)
        await call(self._stub.RemoveMember, request, self._deadline)

    async def invite(
        self, user_id: str, thread_id: str, *, role: str, expires_in_seconds: int, max_uses: int
    ) -> tuple[Invitation, str]:
        """See sharing_ports.Sharing."""
        request = pb.CreateInvitationRequest(
            user_id=user_id,
            thread_id=thread_id,
            role=role,
            expires_in_seconds=expires_in_seconds,
            max_uses=max_uses,
        )
        answer = await call(self._stub.CreateInvitation, request, self._deadline)
        return _invitation(answer.invitation), answer.token

    async def invitations(self, user_id: str, thread_id: str) -> Sequence[Invitation]:
        """See sharing_ports.Sharing."""
        request = pb.ListInvitationsRequest(user_id=user_id, thread_id=thread_id)
        answer = await call(self._stub.ListInvitations, request, self._deadline)
        return [_invitation(item) for item in answer.items]

    async def revoke(self, user_id: str, thread_id: str, invitation_id: str) -> None:
        """See sharing_ports.Sharing."""
        request = pb.RevokeInvitationRequest(user_id=user_id, thread_id=thread_id, invitation_id=invitation_id)
        await call(self._stub.RevokeInvitation, request, self._deadline)

    async def preview(self, user_id: str, token: str) -> Preview:
        """See sharing_ports.Sharing."""
        request = pb.PreviewInvitationRequest(user_id=user_id, token=token)
        answer = await call(self._stub.PreviewInvitation, request, self._deadline)
        return Preview(
            title=answer.title,
            invited_by=answer.invited_by,
            role=answer.role,
            expires_at=answer.expires_at,
            own_role=answer.own_role,
        )

    async def accept(self, user_id: str, token: str) -> Joined:
        """See sharing_ports.Sharing."""
        request = pb.AcceptInvitationRequest(user_id=user_id, token=token)
        answer = await call(self._stub.AcceptInvitation, request, self._deadline)
        return Joined(thread_id=answer.thread_id, title=answer.title, role=answer.role)


def _member(item: pb.Member) -> Member:
    return Member(user_id=item.user_id, role=item.role, since=item.since)


def _invitation(item: pb.Invitation) -> Invitation:
    return Invitation(
        id=item.id,
        role=item.role,
        created_at=item.created_at,
        expires_at=item.expires_at,
        max_uses=item.max_uses,
        uses=item.uses,
    )
