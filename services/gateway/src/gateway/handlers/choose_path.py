"""Choose the path of a message: once, at its admission; the run keeps it."""

from contracts.codes import Code
from contracts.registry import Registry

from gateway.domain.identity import Principal
from gateway.domain.path_flag import PATHS, PathContext
from gateway.domain.problems import Refusal
from gateway.ports import Conversation, PathFlag
from gateway.rollout_ports import Wishes

HEADER = "x-everthread-path"


async def choose_path(
    flag: PathFlag,
    conversation: Conversation,
    models: Registry,
    principal: Principal,
    *,
    thread_id: str,
    model: str,
    asked: str,
    wishes: Wishes | None = None,
) -> str:
    """What to accept the message with: `legacy_sync`, `durable_event`, or `shadow` (legacy_sync, repeated unseen). `asked` is the
    request's x-everthread-path: an administrator's order, anybody else's wish; without one, the user's preference is the wish.
    The flag may follow a wish. Reads the thread, or the user, only where the flag decides by them. Raises Refusal."""
    if asked and asked not in PATHS:
        raise Refusal(Code.QUERY_INVALID, f"The header {HEADER} is {asked[:40]!r}; it may be {' or '.join(PATHS)}.")
    if asked and principal.role == "admin":
        return asked
    wish = asked
    if not wish and wishes is not None and "wish" in flag.reads:
        wish = await wishes.of(principal.user_id)
    agent = ""
    if flag.reads & {"model", "agent", "tools"}:
        try:
            thread = await conversation.get_thread(principal.user_id, thread_id)
            agent, model = thread.agent, model or thread.model
        except Refusal as refusal:
            # A client with chats of its own opens the thread with its first message; else the message is refused in a moment.
            if refusal.code is not Code.THREAD_NOT_FOUND:
                raise
        if not model and "model" in flag.reads:
            user = await conversation.get_user(principal.user_id)
            model = user.preferences.default_model or models.default
    return flag.decide(
        PathContext(
            user_id=principal.user_id,
            role=principal.role,
            plan=principal.plan,
            test_account=principal.test_account,
            wish=wish,
            model=model,
            agent=agent,
        )
    ).variant
