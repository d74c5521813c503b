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

/** What a form shows of an expression: its rhythm where it is one of the plain ones. */
export function timesOf(cron: string): Times {
  const plain: Times = { rhythm: "cron", at: "09:00", day: 1, date: 1 };
  const [minute, hour, date, month, day, ...more] = cron.trim().split(/\s+/);
  const whole = (text: string | undefined) => !!text && /^\d{1,2}$/.test(text);
  if (more.length || month !== "*" || !whole(minute)) return plain;
  const two = (text: string) => text.padStart(2, "0");
  if (hour === "*" && date === "*" && day === "*") return { ...plain, rhythm: "hour", at: `00:${two(minute!)}` };
  if (!whole(hour)) return plain;
  const at = `${two(hour!)}:${two(minute!)}`;
  if (date === "*" && day === "*") return { ...plain, rhythm: "day", at };
  if (date === "*" && (day === "1-5" || day?.toLowerCase() === "mon-fri")) return { ...plain, rhythm: "weekdays", at };
  if (date === "*" && whole(day) && Number(day) <= 7) return { ...plain, rhythm: "week", at, day: Number(day) % 7 };
  if (whole(date) && day === "*") return { ...plain, rhythm: "month", at, date: Number(date) };
  return plain;
}

/** In words where the expression is one of the plain ones; else as it is. */
export function inWords(cron: string): string {
  const { rhythm, at, day, date } = timesOf(cron);
  if (rhythm === "hour") return `Every hour at ${at.slice(2)}`;
  if (rhythm === "day") return `Every day at ${at}`;
  if (rhythm === "weekdays") return `Monday to Friday at ${at}`;
  if (rhythm === "week") return `Every ${DAYS[day]} at ${at}`;
  if (rhythm === "month") return `On day ${date} of each month at ${at}`;
  return `By ${cron}`;
}
