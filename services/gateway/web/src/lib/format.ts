/** Words and numbers for people. */

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en");

export const count = (value: number): string => whole.format(value);
export const compact = (value: number): string => short.format(value);

/** Money given in millionths of a dollar; null where a price is unknown. */
export function dollars(micro: number | null | undefined): string | null {
  if (micro === null || micro === undefined) return null;
  const value = micro / 1e6;
  if (value === 0) return "$0";
  return `$${value >= 1 ? value.toFixed(2) : value.toPrecision(2).replace(/e.*/, "").slice(0, 8)}`;
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function ago(at: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(at)) / 1000);
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 7 * 86_400) return `${Math.floor(seconds / 86_400)} d`;
  return new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

export const price = (value: number | null): string => (value === null ? "?" : value === 0 ? "$0" : `$${value}`);

/** `provider:name` without its provider. */
export const modelName = (id: string): string => id.slice(id.indexOf(":") + 1);
