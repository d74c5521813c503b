import { Store, useStore } from "./store";

/** Whether the server can be reached, as the streams see it. `since` is when it was lost, in milliseconds. */
export const connection = new Store<{ lost: boolean; since: number }>({ lost: false, since: 0 });
export const useConnection = () => useStore(connection);

const losers = new Set<string>();

export function tellConnection(who: string, open: boolean): void {
  if (open) losers.delete(who);
  else losers.add(who);
  const lost = losers.size > 0;
  connection.set((before) => (before.lost === lost ? before : { lost, since: lost ? Date.now() : 0 }));
}

addEventListener("offline", () => tellConnection("browser", false));
addEventListener("online", () => tellConnection("browser", true));
if (!navigator.onLine) tellConnection("browser", false);
