import { Store } from "../lib/store";

/** The dialog that is open. */
export const dialogs = new Store<"" | "settings" | "palette" | "keys" | "share" | "schedules">("");

/** The thread that `share` and `schedules` are about. */
export const dialogThread = new Store("");

export function openFor(thread: string, dialog: "share" | "schedules"): void {
  dialogThread.set(thread);
  dialogs.set(dialog);
}
