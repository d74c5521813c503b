"""What all tests share."""

import structlog
from hypothesis import HealthCheck, settings

# How long something takes says nothing here: two cores are shared with servers that other tests have started.
settings.register_profile("everthread", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("everthread")

# As it comes, structlog draws a logged exception with the variables of every frame, which takes seconds where those are large.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
