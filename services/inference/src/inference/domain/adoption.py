"""One worker asks another: do you execute this run, and will you beat for this delivery from now on?"""

from typing import Literal

AdoptAnswer = Literal["adopted", "no"]
"""`adopted`: yes, and I settle it with the run, be it the item I work on or another that asks for the same run. (None is
settled before: mine may be a late delivery of one that was settled long ago, and then this one alone brings the run back
if I die.) `no`: I do not execute it; claim it."""
