/** Moments that people mean, and how they say them. */

const DAY = 86_400_000;

function at(day: number, hour: number, minute = 0): Date {
  const moment = new Date(Date.now() + day * DAY);
  moment.setHours(hour, minute, 0, 0);
  return moment;
}

/** What somebody who sends a message later most likely wants. */
export function suggestions(now = new Date()): Array<[string, Date]> {
  const toMonday = (8 - now.getDay()) % 7 || 7;
  return [
    ["In an hour", new Date(Math.ceil((now.getTime() + 3_600_000) / 60_000) * 60_000)],
    ...(now.getHours() < 17 ? [["This evening", at(0, 18)] as [string, Date]] : []),
    ["Tomorrow morning", at(1, 9)],
    ...(toMonday > 1 ? [["Monday morning", at(toMonday, 9)] as [string, Date]] : []),
  ];
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const near = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "numeric", minute: "2-digit" });
const far = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

/** A moment to come, as one would say it now, in this browser's time zone. */
export function moment(when: number | string, now = Date.now()): string {
  const then = new Date(when);
  const days = Math.round((new Date(then).setHours(0, 0, 0, 0) - new Date(now).setHours(0, 0, 0, 0)) / DAY);
  if (days === 0) return `today, ${clock.format(then)}`;
  if (days === 1) return `tomorrow, ${clock.format(then)}`;
  return (days > 1 && days < 7 ? near : far).format(then);
}

export const ownZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The value of a `datetime-local` field. */
export function fieldValue(when: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}T${two(when.getHours())}:${two(when.getMinutes())}`;
}
