"""`python -m gateway.put_flag FILE WHY`: put a definition of the flag `path` in force, as a rollout's last step does.

Nothing is written where the same rules are in force already. Exit codes: 0 in force, 1 refused (a sentence says why), 78 wrong
settings.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from bus.errors import BusError
from bus.jetstream import connect
from contracts.times import rfc3339
from runtime import logging as runtime_logging
from runtime.settings import load_settings

from gateway.adapters.flag_bucket import FlagBucket
from gateway.domain.flag_mistakes import DefinitionError, read_definition
from gateway.domain.path_flag import Definition
from gateway.settings import GatewaySettings


async def put(settings: GatewaySettings, definition: Definition, why: str) -> int:
    """The revision in force afterwards. Raises DefinitionError, BusError (RevisionConflictError: somebody else was first)."""
    bus = await connect(settings.nats_url, instance=settings.instance)
    flags = FlagBucket(bus)
    try:
        await flags.start()
        state = flags.state
        if state.revision and _rules(state.definition) == _rules(definition) and state.revision == state.in_force:
            return state.revision
        audit = {"changed_by": settings.instance, "changed_at": rfc3339(datetime.now(UTC)), "why": why}
        audited = {**definition, "metadata": {**definition.get("metadata", {}), **audit}}
        return await flags.publish(audited, expected=state.revision)
    finally:
        await flags.close()
        await bus.drain()


def _rules(definition: Definition) -> object:
    return definition.get("flags")


def main() -> None:
    """Read the file, put it in force, say which revision that is."""
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m gateway.put_flag FILE WHY")
    settings = load_settings(GatewaySettings)
    runtime_logging.configure(
        "gateway", settings.instance, log_format=settings.log_format, log_level=settings.log_level
    )
    try:
        definition = read_definition(Path(sys.argv[1]).read_bytes())
        revision = asyncio.run(put(settings, definition, sys.argv[2]))
    except (BusError, DefinitionError, OSError) as error:
        print(f"gateway.put_flag: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    print(f"The flag path is in force with revision {revision}.")


if __name__ == "__main__":
    main()
