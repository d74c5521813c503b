"""A tool for Everthread's models, offered by a service of yours over NATS: a function, its types, its docstring.

    EVERTHREAD_NATS_URL=$(everthread nats-url) python examples/mesh_tool.py

Every agent whose tools include `track_parcel` (or `mesh:*`) can call it from now on; several instances share the calls.
"""

import asyncio
import os
from typing import Annotated, Any

from everthread_client.mesh import Mesh
from everthread_client.offering import ToolCall, ToolFailedError
from msgspec import Meta

PARCELS = {"4711": {"carrier": "Tiber Express", "place": "Bologna"}}


async def main() -> None:
    async with await Mesh.connect(os.environ["EVERTHREAD_NATS_URL"], service="orders") as mesh:

        @mesh.tool(side_effects=False, timeout=10)
        async def track_parcel(
            number: Annotated[str, Meta(description="The number on the label.")], call: ToolCall
        ) -> dict[str, Any]:
            """Where a parcel is now, by its number."""
            await call.progress({"asking": "the carrier"})
            if number not in PARCELS:
                raise ToolFailedError(f"There is no parcel {number}.")
            return PARCELS[number]

        print("offering track_parcel", flush=True)
        await mesh.serve()


if __name__ == "__main__":
    asyncio.run(main())
