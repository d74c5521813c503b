"""An internal service over NATS: it tells a thread what happened, asks for an answer about it and follows that to its end.

    EVERTHREAD_URL=http://127.0.0.1:8080 EVERTHREAD_TOKEN=… EVERTHREAD_NATS_URL=$(everthread nats-url) \\
        python examples/nats_publisher.py "What does that mean for me?"
"""

import asyncio
import os
import sys

from contracts.events import TextDelta
from everthread_client import EverthreadClient, RejectedError
from everthread_client.mesh import Mesh


async def main() -> None:
    question = " ".join(sys.argv[1:]) or "My parcel has left Rome. What does that mean for me?"

    # The thread is a person's; the service needs its id and the person's, which every fact about a thread has.
    url = os.environ.get("EVERTHREAD_URL", "http://127.0.0.1:8080")
    async with EverthreadClient(url, os.environ["EVERTHREAD_TOKEN"]) as person:
        user_id = (await person.me()).id
        thread_id = (await person.create_thread(title="A parcel")).id

    async with await Mesh.connect(os.environ["EVERTHREAD_NATS_URL"], service="orders") as mesh:
        appended = await mesh.append(
            thread_id,
            "The parcel 4711 has left Rome.",
            user_id=user_id,
            event="order.shipped",
            data={"number": "4711", "carrier": "Tiber Express"},
            key="4711 shipped",  # The same key is the same event, however often it is published.
        )
        print(f"appended {appended.message_id}")
        try:
            await mesh.append(thread_id, "", user_id=user_id)
        except RejectedError as rejected:
            print(f"rejected: {rejected}")

        asked = await mesh.ask(thread_id, question, user_id=user_id)
        print(f"answering {asked.run_id}")
        text = ""
        async for event in mesh.follow(thread_id, asked.run_id):
            if isinstance(event, TextDelta):
                text += event.delta
        print(text)


if __name__ == "__main__":
    asyncio.run(main())
