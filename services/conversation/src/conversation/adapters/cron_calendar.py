"""Cron expressions by cronsim, in time zones of the IANA database."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.codes import Code
from cronsim import CronSim, CronSimError

from conversation.domain.refusals import RefusedError


class CronCalendar:
    """ports.Calendar. A time that the clock skips in spring is taken after the gap, one that it repeats in autumn once."""

    def next_after(self, cron: str, time_zone: str, moment: datetime) -> datetime | None:
        try:
            zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise RefusedError(
                Code.SCHEDULE_INVALID, f"There is no time zone {time_zone[:60]!r}; use a name such as Europe/Rome."
            ) from None
        try:
            found = next(CronSim(cron, moment.astimezone(zone)), None)
        except CronSimError as error:
            raise RefusedError(Code.SCHEDULE_INVALID, f"{cron!r} is no cron expression: {error}.") from None
        return None if found is None else found.astimezone(UTC)
