import { Store } from "../lib/store";

/** The dialog that is open. */
export const dialogs = new Store<"" | "settings" | "palette" | "keys">("");
