"""`python -m conversation.prepare`: streams, consumers, collections and indexes as this version wants them; then it ends.

Run before a rollout, it lets the new version find everything in place and a mistake end here, not in a half-rolled Deployment.
Idempotent. Exit codes: 0 done, 1 could not (a sentence says why), 78 wrong settings.
"""

import asyncio
import sys

from bus.errors import BusError
from bus.jetstream import connect as connect_bus
from runtime import logging as runtime_logging
from runtime.settings import load_settings
from store.database import connect as connect_database
from store.errors import StoreError

from conversation.adapters.schema import prepare
from conversation.settings import Settings


async def prepare_all(settings: Settings) -> None:
    """The broker first: the indexes of a version whose streams cannot be had are of no use. Raises BusError, StoreError."""
    bus = await connect_bus(settings.nats_url, instance=settings.instance)
    try:
        await bus.reconcile(replicas=settings.stream_replicas)
    finally:
        await bus.drain()
    database = await connect_database(settings.mongodb_uri, application=settings.instance)
    try:
        await prepare(database)
    finally:
        await database.close()


def main() -> None:
    """Prepare, or say in a sentence why not."""
    settings = load_settings(Settings)
    runtime_logging.configure(
        "conversation", settings.instance, log_format=settings.log_format, log_level=settings.log_level
    )
    try:
        asyncio.run(prepare_all(settings))
    except (BusError, StoreError) as error:
        print(f"conversation.prepare: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
