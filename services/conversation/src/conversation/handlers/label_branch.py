"""Name a branch."""

from dataclasses import replace

from conversation.domain.branches import Branch, Tree
from conversation.domain.limits import check_label
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


async def label_branch(parts: Parts, user_id: str, thread_id: str, branch_id: str, label: str) -> Branch:
    """The branch with its label; an empty one takes it away."""
    label = check_label(label, parts.limits)

    async def body(writes: Writes) -> Branch:
        thread = await access_thread(writes, user_id, thread_id, "write")
        tree = Tree(await writes.stubs(thread.id))
        branch = tree.branch(branch_id, thread)
        labels = {id: text for id, text in {**thread.branch_labels, branch.id: label}.items() if text}
        await writes.change_thread(thread, {"branch_labels": labels})
        return replace(branch, label=label)

    return await parts.records.transaction(body)
