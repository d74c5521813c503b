"""Tell a user's devices about one fact."""

from contracts.facts import Fact

from notifier.domain.feed import entry_of
from notifier.ports import Feeds


async def deliver_fact(fact: Fact, feeds: Feeds) -> bool:
    """Put the fact into its owner's feed; False if it was there already. Idempotent.

    Raises UnknownStatusError (never going to work) and what Feeds.add raises (try again).
    """
    return await feeds.add(fact.user_id, entry_of(fact))
