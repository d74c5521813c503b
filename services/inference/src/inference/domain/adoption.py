"""One worker asks another: do you execute this run, and will you beat for this delivery from now on?"""

from typing import Literal

AdoptAnswer = Literal["adopted", "duplicate", "no"]
"""`adopted`: yes, it is the newest delivery of the item I work on. `duplicate`: yes, but this is another item that asks for
the same run; acknowledge it, mine still stands for the run. `no`: I do not execute it; claim it."""


def answer_for(*, executing: int | None, delivered: int) -> AdoptAnswer:
    """The answer of a worker that executes the run for the item stored at `executing` (None: it does not)."""
    if executing is None:
        return "no"
    return "adopted" if executing == delivered else "duplicate"
