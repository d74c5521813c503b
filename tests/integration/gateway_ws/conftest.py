"""The small mesh of the front doors' tests: gateways over real HTTP, conversation over a real MongoDB, the bus in memory."""

from tests.integration.front_doors.conftest import database, databases, mesh, mongo, script

__all__ = ["database", "databases", "mesh", "mongo", "script"]
