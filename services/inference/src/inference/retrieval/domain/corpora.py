"""Whose documents a search may see. This is the only place that decides it; neither a model nor a message has a say."""

from collections.abc import Sequence

from contracts.ids import USER, check_corpus, check_id

OWN: str = "user"


def corpora_for(user_id: str, configured: Sequence[str]) -> tuple[str, ...]:
    """The corpora of a search for `user_id` by an agent configured with `configured` (`user`, `shared-…`).

    A configured user's id is refused unless it is the user's own: otherwise everybody who talks to that agent would read
    that person's documents. Raises InvalidIdError for a user or corpus that is no id, ValueError for somebody else's.
    """
    check_id(USER, user_id)
    found: dict[str, None] = {}
    for name in configured:
        corpus = user_id if name == OWN else check_corpus(name)
        if corpus.startswith(f"{USER}_") and corpus != user_id:
            raise ValueError("an agent may search the corpus of the user it answers and shared ones, no other")
        found[corpus] = None
    return tuple(found)
