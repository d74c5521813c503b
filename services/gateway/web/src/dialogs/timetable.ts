/** Cron expressions as people say them: minute, hour, day of the month, month, day of the week. */

export const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;

export type Rhythm = "hour" | "day" | "weekdays" | "week" | "month" | "cron";

export interface Times {
  rhythm: Rhythm;
  /** `HH:MM` */
  at: string;
  /** 0 is Sunday. */
  day: number;
  /** Of the month. */
  date: number;
}

export function cronOf({ rhythm, at, day, date }: Times): string {
  const [hour, minute] = at.split(":").map(Number);
  if (rhythm === "hour") return `${minute} * * * *`;
  const rest = rhythm === "weekdays" ? "* * 1-5" : rhythm === "week" ? `* * ${day}` : rhythm === "month" ? `${date} * *` : "* * *";
  return `${minute} ${hour} ${rest}`;
}

/** In words where the expression is one of the plain ones; else as it is. */
export function inWords(cron: string): string {
  const [minute, hour, date, month, day, ...more] = cron.trim().split(/\s+/);
  const whole = (text: string | undefined) => !!text && /^\d{1,2}$/.test(text);
  if (more.length || month !== "*" || !whole(minute)) return `By ${cron}`;
  if (hour === "*" && date === "*" && day === "*") return `Every hour at :${minute!.padStart(2, "0")}`;
  if (!whole(hour)) return `By ${cron}`;
  const at = `at ${hour!.padStart(2, "0")}:${minute!.padStart(2, "0")}`;
  if (date === "*" && day === "*") return `Every day ${at}`;
  if (date === "*" && (day === "1-5" || day?.toLowerCase() === "mon-fri")) return `Monday to Friday ${at}`;
  if (date === "*" && whole(day) && Number(day) <= 7) return `Every ${DAYS[Number(day) % 7]} ${at}`;
  if (whole(date) && day === "*") return `On day ${date} of each month ${at}`;
  return `By ${cron}`;
}
