"""Built in: the time of day."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from inference.tools.adapters.function_tool import FunctionTool
from inference.tools.domain.outcome import ToolFailedError
from inference.tools.ports import Now

TimeZone = Annotated[str, Field(description="IANA name such as Europe/Berlin", max_length=64)]


def current_time_tool(now: Now) -> FunctionTool:
    """The tool `time`."""

    def current_time(timezone: TimeZone = "UTC") -> dict[str, str]:
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ToolFailedError(
                f"There is no time zone {timezone[:64]!r}. Use a name of the IANA list such as Europe/Berlin, or UTC."
            ) from error
        moment: datetime = now().astimezone(zone)
        return {
            "time": moment.isoformat(timespec="seconds"),
            "weekday": moment.strftime("%A"),
            "timezone": timezone,
        }

    return FunctionTool(
        current_time,
        name="time",
        description="The current date, time and weekday in a time zone.",
        kind="builtin",
        timeout=5.0,
    )
