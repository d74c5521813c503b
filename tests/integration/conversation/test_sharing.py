"""Who may do what in a thread: every call, every role; links that let in and links that do not; who is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from contracts.codes import Code
from contracts.facts import Fact, RunEnded, ThreadMemberChanged, ThreadMemberRemoved, ThreadShared, decode_fact
from contracts.ids import user_id_of
from conversation.domain.invitations import hash_of
from conversation.entrypoints.record_subscriber import RecordSubscriber
from rpc.v1 import conversation_pb2 as pb
from rpc.v1 import operations_pb2 as op
from rpc.v1 import sharing_pb2 as sh
from runtime.rpc import code_of

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, BOB, Service, until
from tests.integration.conversation.test_recording import Answer

OWNER, EDITOR, VIEWER, STRANGER = ALICE, BOB, user_id_of("test", "vera"), user_id_of("test", "mallory")
PEOPLE = {"owner": OWNER, "editor": EDITOR, "viewer": VIEWER, "stranger": STRANGER}


async def invite(service: Service, thread: str, role: str, **more: Any) -> str:
    wanted = sh.CreateInvitationRequest(user_id=OWNER, thread_id=thread, role=role, **more)
    return (await service.sharing.CreateInvitation(wanted)).token


async def join(service: Service, token: str, user: str) -> sh.AcceptInvitationResponse:
    return await service.sharing.AcceptInvitation(sh.AcceptInvitationRequest(user_id=user, token=token))


async def shared(service: Service) -> str:
    """A thread of the owner's with an editor and a viewer."""
    thread = await service.thread(OWNER, title="Ours")
    for role, user in (("editor", EDITOR), ("viewer", VIEWER)):
        await join(service, await invite(service, thread, role), user)
    return thread


async def transfer(service: Service, user: str, thread: str, member: str) -> sh.Member:
    wanted = sh.TransferThreadRequest(user_id=user, thread_id=thread, member_id=member)
    return (await service.sharing.TransferThread(wanted)).member


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, Code, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    code, sentence = code_of(error.value)
    return error.value.code(), code, sentence


def facts(service: Service) -> list[Fact]:
    return [decode_fact(data) for _, data in service.published("THREADS")]


Call = Callable[[Service, str, str, str], Awaitable[Any]]
READ: dict[str, Call] = {
    "GetThread": lambda s, u, t, r: s.stub.GetThread(pb.GetThreadRequest(user_id=u, thread_id=t)),
    "ListMessages": lambda s, u, t, r: s.stub.ListMessages(pb.ListMessagesRequest(user_id=u, thread_id=t)),
    "GetRun": lambda s, u, t, r: s.stub.GetRun(pb.GetRunRequest(user_id=u, run_id=r)),
    "ListRuns": lambda s, u, t, r: s.stub.ListRuns(pb.ListRunsRequest(user_id=u, thread_id=t)),
    "ListBranches": lambda s, u, t, r: s.stub.ListBranches(pb.ListBranchesRequest(user_id=u, thread_id=t)),
    # A copy of what one may read, of one's own.
    "ForkThread": lambda s, u, t, r: s.stub.ForkThread(
        pb.ForkThreadRequest(user_id=u, thread_id=t, message_id="msg_" + "0" * 26)
    ),
    "ListSchedules": lambda s, u, t, r: s.stub.ListSchedules(pb.ListSchedulesRequest(user_id=u, thread_id=t)),
    "ListMembers": lambda s, u, t, r: s.sharing.ListMembers(sh.ListMembersRequest(user_id=u, thread_id=t)),
}
WRITE: dict[str, Call] = {
    "AcceptMessage": lambda s, u, t, r: s.stub.AcceptMessage(
        pb.AcceptMessageRequest(user_id=u, thread_id=t, content="Hello")
    ),
    "UpdateThread": lambda s, u, t, r: s.stub.UpdateThread(
        pb.UpdateThreadRequest(user_id=u, thread_id=t, title=f"By {u}")
    ),
    "GetRun to command it": lambda s, u, t, r: s.stub.GetRun(pb.GetRunRequest(user_id=u, run_id=r, commanding=True)),
    "LabelBranch": lambda s, u, t, r: s.stub.LabelBranch(
        pb.LabelBranchRequest(user_id=u, thread_id=t, branch_id="msg_" + "0" * 26, label="mine")
    ),
    "CreateSchedule": lambda s, u, t, r: s.stub.CreateSchedule(
        pb.CreateScheduleRequest(user_id=u, thread_id=t, cron="0 9 * * *", content="Good morning")
    ),
    "UpdateSchedule": lambda s, u, t, r: s.stub.UpdateSchedule(
        pb.UpdateScheduleRequest(user_id=u, thread_id=t, schedule_id="sch_" + "0" * 26, paused=True)
    ),
    "DeleteSchedule": lambda s, u, t, r: s.stub.DeleteSchedule(
        pb.DeleteScheduleRequest(user_id=u, thread_id=t, schedule_id="sch_" + "0" * 26)
    ),
}
OWN: dict[str, Call] = {
    "UpdateThread to pin it": lambda s, u, t, r: s.stub.UpdateThread(
        pb.UpdateThreadRequest(user_id=u, thread_id=t, pinned=True)
    ),
    "CreateInvitation": lambda s, u, t, r: s.sharing.CreateInvitation(
        sh.CreateInvitationRequest(user_id=u, thread_id=t, role="viewer")
    ),
    "ListInvitations": lambda s, u, t, r: s.sharing.ListInvitations(sh.ListInvitationsRequest(user_id=u, thread_id=t)),
    "RevokeInvitation": lambda s, u, t, r: s.sharing.RevokeInvitation(
        sh.RevokeInvitationRequest(user_id=u, thread_id=t, invitation_id=r)
    ),
    "ChangeMember": lambda s, u, t, r: s.sharing.ChangeMember(
        sh.ChangeMemberRequest(user_id=u, thread_id=t, member_id=VIEWER, role="viewer")
    ),
    # Of somebody else; oneself may always leave.
    "RemoveMember": lambda s, u, t, r: s.sharing.RemoveMember(
        sh.RemoveMemberRequest(user_id=u, thread_id=t, member_id=STRANGER)
    ),
    # To nobody of the thread, so that it stays the owner's.
    "TransferThread": lambda s, u, t, r: transfer(s, u, t, STRANGER),
    "DeleteThread": lambda s, u, t, r: s.stub.DeleteThread(pb.DeleteThreadRequest(user_id=u, thread_id=t)),
}
ALLOWED = {"read": {"owner", "editor", "viewer"}, "write": {"owner", "editor"}, "own": {"owner"}}
NO_THREAD_OF_SOMEBODY = {
    "CreateThread": "makes one of the caller's, or opens one that the caller is in",
    "ListThreads": "lists those that the caller is in",
    "GetUser": "is the caller",
    "UpdatePreferences": "are the caller's",
    "AcceptInvitation": "is for whoever has the token",
    "PreviewInvitation": "is for whoever has the token",
    "GetRunInput": "is for inference",
    "RecordRun": "is for inference",
    "ListRunResults": "has figures only, for administrators",
    "ListShadows": "has figures only, for administrators",
    **dict.fromkeys(
        ("ListAllRuns", "GetAnyRun", "CountRuns", "ListDeadLetters", "RetryDeadLetter"), "is for administrators"
    ),
    "NoteDeparture": "says that nobody watches, and nothing else",
}
NO_ACCESS = {Code.THREAD_NOT_FOUND, Code.RUN_NOT_FOUND, Code.FORBIDDEN}


def test_every_call_of_the_services_is_known_here() -> None:
    methods = {
        method.name
        for file in (pb, sh, op)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    known = {name.partition(" ")[0] for name in (*READ, *WRITE, *OWN, *NO_THREAD_OF_SOMEBODY)}
    assert methods == known


async def test_every_call_knows_who_may(service: Service) -> None:
    thread = await shared(service)
    run = (await service.accept(thread)).run_id
    for need, calls in (("read", READ), ("write", WRITE), ("own", OWN)):
        for name, call in calls.items():
            # The owner comes last, as the last call deletes the thread.
            for role in ("stranger", "viewer", "editor", "owner"):
                code: Code | None
                try:
                    await call(service, PEOPLE[role], thread, run)
                except grpc.aio.AioRpcError as error:
                    status, (code, sentence) = error.code(), code_of(error)
                else:
                    status, code, sentence = grpc.StatusCode.OK, None, ""
                if role == "stranger":
                    wanted = Code.RUN_NOT_FOUND if name.startswith("GetRun") else Code.THREAD_NOT_FOUND
                    assert (status, code) == (grpc.StatusCode.NOT_FOUND, wanted), name
                elif role not in ALLOWED[need]:
                    assert (status, code) == (grpc.StatusCode.PERMISSION_DENIED, Code.FORBIDDEN), (name, role)
                    assert sentence.endswith("."), sentence
                else:
                    # It may be refused for another reason: what it names is not there.
                    assert code not in NO_ACCESS, (name, role)
    assert (await refused(READ["GetThread"](service, OWNER, thread, run)))[1] == Code.THREAD_NOT_FOUND


async def test_a_link_lets_in_as_often_as_it_says(service: Service) -> None:
    thread = await service.thread(OWNER, title="Ours")
    token = await invite(service, thread, "viewer", max_uses=2)
    stored = await service.rows("invitations")
    assert token not in str(stored)
    for _ in range(2):
        # The second time nothing is used up: the answer to the first may have been lost.
        reply = await join(service, token, EDITOR)
        assert (reply.thread_id, reply.title, reply.role) == (thread, "Ours", "viewer")
    assert (await join(service, token, VIEWER)).role == "viewer"
    assert (await refused(join(service, token, STRANGER)))[:2] == (
        grpc.StatusCode.FAILED_PRECONDITION,
        Code.INVITATION_INVALID,
    )
    # A better link raises the role, a worse one does not lower it.
    assert (await join(service, await invite(service, thread, "editor"), EDITOR)).role == "editor"
    assert (await join(service, await invite(service, thread, "viewer"), EDITOR)).role == "editor"
    listed = await service.sharing.ListMembers(sh.ListMembersRequest(user_id=VIEWER, thread_id=thread))
    assert [(member.user_id, member.role) for member in listed.items] == [
        (OWNER, "owner"),
        (EDITOR, "editor"),
        (VIEWER, "viewer"),
    ]


async def test_a_link_for_one_lets_in_one_of_many_at_once(start: StartService) -> None:
    services = [await start(), await start()]
    thread = await services[0].thread(OWNER)
    token = await invite(services[0], thread, "editor")
    people = [user_id_of("test", f"guest {number}") for number in range(6)]
    outcomes = await asyncio.gather(
        *(join(services[number % 2], token, user) for number, user in enumerate(people)), return_exceptions=True
    )
    assert sum(isinstance(outcome, sh.AcceptInvitationResponse) for outcome in outcomes) == 1
    found = await services[0].stub.GetThread(pb.GetThreadRequest(user_id=OWNER, thread_id=thread))
    assert found.thread.members == 2


async def preview(service: Service, token: str, user: str) -> sh.PreviewInvitationResponse:
    return await service.sharing.PreviewInvitation(sh.PreviewInvitationRequest(user_id=user, token=token))


async def test_a_link_says_what_it_is_and_nothing_else(service: Service) -> None:
    thread = await service.thread(OWNER, title="Ours")
    await service.accept(thread, "A secret of ours")
    token = await invite(service, thread, "editor")
    seen = await preview(service, token, EDITOR)
    listed = (await service.sharing.ListInvitations(sh.ListInvitationsRequest(user_id=OWNER, thread_id=thread))).items
    expected = {"title": "Ours", "invited_by": OWNER, "role": "editor", "expires_at": listed[0].expires_at}
    assert {field.name: value for field, value in seen.ListFields()} == expected
    # Looking uses nothing up, lets nobody in and tells nobody.
    assert (await refused(READ["GetThread"](service, EDITOR, thread, "")))[1] == Code.THREAD_NOT_FOUND
    assert listed[0].uses == 0
    assert not [fact for fact in facts(service) if isinstance(fact, ThreadShared)]
    await join(service, token, EDITOR)
    # Who is in can come in again, and so look again.
    assert (await preview(service, token, EDITOR)).own_role == "editor"
    assert "own" in (await refused(preview(service, token, OWNER)))[2]


async def test_a_link_says_why_it_lets_nobody_in(service: Service) -> None:
    thread = await service.thread(OWNER, title="Ours")
    one, two, expired, forgotten, revoked, gone = [
        await invite(service, thread, "viewer", max_uses=number) for number in (1, 2, 1, 1, 1, 1)
    ]
    for token, user in ((one, EDITOR), (two, VIEWER), (two, user_id_of("test", "third"))):
        await join(service, token, user)
    invitations = service.database.collection("invitations")
    rows = {row["token_hash"]: row for row in await service.rows("invitations")}
    past = service.parts.now() - timedelta(seconds=1)
    for token in (expired, forgotten):
        change = {"$set": {"expires_at": past}}
        await invitations.update_one({"token_hash": hash_of(token)}, change)
        await service.database.collection("invitation_traces").update_one({"token_hash": hash_of(token)}, change)
    # The database takes out what has expired, some time later.
    await invitations.delete_one({"token_hash": hash_of(forgotten)})
    taken = sh.RevokeInvitationRequest(user_id=OWNER, thread_id=thread, invitation_id=rows[hash_of(revoked)]["_id"])
    await service.sharing.RevokeInvitation(taken)
    assert (await refused(service.sharing.RevokeInvitation(taken)))[1] == Code.NOT_FOUND
    # One of before there was anything to remember.
    await invitations.delete_one({"token_hash": hash_of(gone)})
    await service.database.collection("invitation_traces").delete_one({"token_hash": hash_of(gone)})
    for token, sentence in (
        (one, "was for one person, who has used it."),
        (two, "was for 2 people, who have used it."),
        (expired, f"expired on {past:%d %B %Y at %H:%M} UTC."),
        (forgotten, f"expired on {past:%d %B %Y at %H:%M} UTC."),
        (revoked, "was taken back."),
    ):
        for asked in (preview, join):
            status, code, said = await refused(asked(service, token, STRANGER))
            assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, Code.INVITATION_INVALID)
            assert said == f"This invitation {sentence} Ask for a new one."
    # Nothing tells a token that nobody ever had from one that nothing is known of, or that is none.
    answers = {
        await refused(preview(service, token, STRANGER)) for token in (gone, "nonsense", "", "x" * 300, one[:-1])
    }
    answers |= {await refused(join(service, token, STRANGER)) for token in (gone, "nonsense", "", "x" * 300)}
    assert len(answers) == 1
    # Nothing of it outlives the thread.
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=OWNER, thread_id=thread))
    assert await refused(preview(service, expired, STRANGER)) in answers
    assert revoked not in str(await service.rows("invitation_traces"))


async def test_links_that_let_nobody_in(service: Service) -> None:
    thread = await service.thread(OWNER)
    expired, revoked, own = [await invite(service, thread, "viewer") for _ in range(3)]
    listed = await service.sharing.ListInvitations(sh.ListInvitationsRequest(user_id=OWNER, thread_id=thread))
    newest_first = [item.id for item in listed.items]
    await service.sharing.RevokeInvitation(
        sh.RevokeInvitationRequest(user_id=OWNER, thread_id=thread, invitation_id=newest_first[1])
    )
    await service.database.collection("invitations").update_one(
        {"_id": newest_first[2]}, {"$set": {"expires_at": service.parts.now() - timedelta(seconds=1)}}
    )
    for token, user in ((expired, BOB), (revoked, BOB), ("", BOB), ("x" * 300, BOB), ("nonsense", BOB), (own, OWNER)):
        assert (await refused(join(service, token, user)))[1] == Code.INVITATION_INVALID
    left = await service.sharing.ListInvitations(sh.ListInvitationsRequest(user_id=OWNER, thread_id=thread))
    assert [item.id for item in left.items] == newest_first[:1]
    for role in ("owner", "admin", ""):
        assert (await refused(invite(service, thread, role)))[1] == Code.BODY_INVALID
    for more in ({"expires_in_seconds": 5}, {"expires_in_seconds": 10**9}, {"max_uses": -1}, {"max_uses": 1000}):
        assert (await refused(invite(service, thread, "viewer", **more)))[1] == Code.BODY_INVALID


async def test_everybody_is_told_and_the_removed_one_as_well(service: Service) -> None:
    thread = await shared(service)
    change = sh.ChangeMemberRequest(user_id=OWNER, thread_id=thread, member_id=VIEWER, role="editor")
    assert (await service.sharing.ChangeMember(change)).member.role == "editor"
    accepted = await service.stub.AcceptMessage(
        pb.AcceptMessageRequest(user_id=EDITOR, thread_id=thread, content="Mine")
    )
    await service.sharing.RemoveMember(sh.RemoveMemberRequest(user_id=EDITOR, thread_id=thread, member_id=EDITOR))
    answer = await Answer.begin(service, thread, accepted)
    await answer.complete()
    await RecordSubscriber(service.parts)(answer.delivery())
    await until(lambda: any(isinstance(fact, RunEnded) for fact in facts(service)))
    await until(lambda: any(isinstance(fact, ThreadMemberRemoved) for fact in facts(service)))
    told = {type(fact): fact for fact in facts(service)}
    joined = [fact for fact in facts(service) if isinstance(fact, ThreadShared)]
    assert [(fact.member_id, fact.role, fact.by, fact.told) for fact in joined] == [
        (EDITOR, "editor", OWNER, (OWNER, EDITOR)),
        (VIEWER, "viewer", OWNER, (OWNER, EDITOR, VIEWER)),
    ]
    changed, removed, ended = told[ThreadMemberChanged], told[ThreadMemberRemoved], told[RunEnded]
    assert changed.told == (OWNER, EDITOR, VIEWER)
    assert removed.told == (OWNER, VIEWER, EDITOR)
    # The editor asked, and has left: the answer is there for those who stayed.
    assert (ended.user_id, ended.told) == (OWNER, (OWNER, VIEWER))
    assert (await refused(READ["GetRun"](service, EDITOR, thread, accepted.run_id)))[1] == Code.RUN_NOT_FOUND
    listed = await service.stub.ListMessages(pb.ListMessagesRequest(user_id=OWNER, thread_id=thread))
    assert [(message.role, message.author) for message in listed.items] == [("user", EDITOR), ("assistant", "")]


async def test_a_thread_is_handed_to_a_member_who_owns_it_from_then_on(service: Service) -> None:
    thread = await shared(service)
    running = await service.accept(thread, "Mine")
    for _ in range(2):
        # The second time nothing changes: the answer to the first may have been lost.
        owner = await transfer(service, OWNER, thread, VIEWER)
        assert (owner.user_id, owner.role) == (VIEWER, "owner")
    listed = await service.sharing.ListMembers(sh.ListMembersRequest(user_id=OWNER, thread_id=thread))
    roles = [(member.user_id, member.role) for member in listed.items]
    assert roles == [(VIEWER, "owner"), (OWNER, "editor"), (EDITOR, "editor")]
    assert listed.items[0].since == owner.since > listed.items[1].since
    seen = (await service.stub.GetThread(pb.GetThreadRequest(user_id=OWNER, thread_id=thread))).thread
    assert (seen.owner_id, seen.role, seen.members) == (VIEWER, "editor", 3)
    # The one who asked pays, as before; whoever owns the thread is told of the end first.
    answer = await Answer.begin(service, thread, running)
    await answer.complete()
    await RecordSubscriber(service.parts)(answer.delivery())
    assert {row["user_id"] for row in await service.rows("ledger")} == {OWNER}
    await until(lambda: any(isinstance(fact, RunEnded) for fact in facts(service)))
    ended = next(fact for fact in facts(service) if isinstance(fact, RunEnded))
    assert ended.told == (VIEWER, OWNER, EDITOR)
    changed = [fact for fact in facts(service) if isinstance(fact, ThreadMemberChanged)]
    assert [(fact.member_id, fact.role, fact.by, fact.user_id) for fact in changed] == [
        (VIEWER, "owner", OWNER, VIEWER),
        (OWNER, "editor", OWNER, VIEWER),
    ]
    assert all(fact.told == (VIEWER, OWNER, EDITOR) for fact in changed)
    # The former owner is an editor like any other.
    assert (await refused(OWN["DeleteThread"](service, OWNER, thread, "")))[1] == Code.FORBIDDEN
    removal = sh.RemoveMemberRequest(user_id=VIEWER, thread_id=thread, member_id=OWNER)
    await service.sharing.RemoveMember(removal)
    assert (await refused(transfer(service, OWNER, thread, VIEWER)))[1] == Code.THREAD_NOT_FOUND
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=VIEWER, thread_id=thread))
    (deletion,) = await service.rows("deletions")
    assert set(deletion["user_ids"]) == {OWNER, EDITOR, VIEWER}


async def test_a_thread_is_handed_to_nobody_else_by_nobody_else(service: Service) -> None:
    thread = await shared(service)
    for user, member, status, code in (
        (OWNER, STRANGER, grpc.StatusCode.NOT_FOUND, Code.NOT_FOUND),
        (OWNER, OWNER, grpc.StatusCode.INVALID_ARGUMENT, Code.BODY_INVALID),
        (EDITOR, EDITOR, grpc.StatusCode.PERMISSION_DENIED, Code.FORBIDDEN),
        (EDITOR, OWNER, grpc.StatusCode.PERMISSION_DENIED, Code.FORBIDDEN),
        (STRANGER, EDITOR, grpc.StatusCode.NOT_FOUND, Code.THREAD_NOT_FOUND),
    ):
        assert (await refused(transfer(service, user, thread, member)))[:2] == (status, code)
    # Two at once: one of them is too late and owns nothing any more.
    outcomes = await asyncio.gather(
        *(transfer(service, OWNER, thread, member) for member in (EDITOR, VIEWER)), return_exceptions=True
    )
    (owner,) = [outcome.user_id for outcome in outcomes if isinstance(outcome, sh.Member)]
    (late,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert code_of(late)[0] == Code.FORBIDDEN
    assert (await transfer(service, owner, thread, OWNER)).role == "owner"
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=OWNER, thread_id=thread))
    assert (await refused(transfer(service, OWNER, thread, EDITOR)))[1] == Code.THREAD_NOT_FOUND


async def test_shared_threads_are_listed_with_the_role_in_one_order(service: Service) -> None:
    for number in range(7):
        owner, other = (OWNER, EDITOR) if number % 2 else (EDITOR, OWNER)
        thread = await service.thread(owner, title=f"{number}")
        wanted = sh.CreateInvitationRequest(user_id=owner, thread_id=thread, role="viewer")
        token = (await service.sharing.CreateInvitation(wanted)).token
        await join(service, token, other)
    await service.thread(STRANGER, title="not to be seen")
    seen: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = await service.stub.ListThreads(pb.ListThreadsRequest(user_id=OWNER, cursor=cursor, limit=2))
        seen += [(item.title, item.role) for item in page.items]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == [(f"{number}", "owner" if number % 2 else "viewer") for number in reversed(range(7))]


async def test_a_strangers_thread_id_is_not_opened_by_naming_it(service: Service) -> None:
    thread = await shared(service)
    opened = pb.CreateThreadRequest(user_id=EDITOR, thread_id=thread)
    assert (await service.stub.CreateThread(opened)).thread.role == "editor"
    theirs = pb.CreateThreadRequest(user_id=STRANGER, thread_id=thread)
    assert (await refused(service.stub.CreateThread(theirs)))[1] == Code.THREAD_NOT_FOUND
    wrong = pb.CreateThreadRequest(user_id=OWNER, kind="eternal")
    assert (await refused(service.stub.CreateThread(wrong)))[1] == Code.BODY_INVALID


async def test_an_idempotency_key_is_its_authors(service: Service) -> None:
    thread = await shared(service)
    asked = {
        user: pb.AcceptMessageRequest(user_id=user, thread_id=thread, content="Hi", idempotency_key="one")
        for user in (OWNER, EDITOR)
    }
    first = {user: await service.stub.AcceptMessage(request) for user, request in asked.items()}
    again = {user: await service.stub.AcceptMessage(request) for user, request in asked.items()}
    assert first[OWNER].run_id != first[EDITOR].run_id
    assert {user: reply.run_id for user, reply in again.items()} == {
        user: reply.run_id for user, reply in first.items()
    }
