"""The embedded model's registry entry says that it goes on from a prefix: does it?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.registry import DEFAULT_EMBEDDED, load_registry
from everthread.embedded import Embedded, start_model
from inference.adapters.chat_models import ChatModels
from inference.ports import InputMessage, ModelCall

QUESTION = [InputMessage("user", "Count from one to ten in words, separated by commas.")]
PREFIX = "One, two, three, four, five"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Embedded]:
    started = start_model(tmp_path)
    yield started
    started.stop()


class Said:
    """A sink that keeps the text."""

    is_full = False

    def __init__(self) -> None:
        self.pieces: list[str] = []

    @property
    def is_over(self) -> bool:
        return len(self.pieces) > 60

    def text(self, delta: str) -> None:
        self.pieces.append(delta)

    def reasoning(self, delta: str) -> None:
        raise AssertionError(f"it does not reason aloud: {delta!r}")

    async def room(self) -> None:
        raise AssertionError("never full")


async def test_the_embedded_model_goes_on_from_a_prefix(model: Embedded) -> None:
    registry = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": model.url})
    entry = registry.find(DEFAULT_EMBEDDED)
    assert entry is not None
    assert entry.continuation == "prefix"
    models = ChatModels(idle_seconds=60, connect_seconds=5)
    try:
        said = Said()
        await models.generate(ModelCall(model=entry, messages=QUESTION, prefix=PREFIX), said)
    finally:
        await models.close()
    more = "".join(said.pieces).lower()
    assert more, "it said nothing more"
    assert not more.lstrip(" ,").startswith("one"), more
    assert PREFIX.lower() not in more[: len(PREFIX) + 5], more
    assert "six" in more, more
