import { Store, useStore } from "./store";

/** Where the page is: `/`, `/t/<thread>`, `/console/...`, and what the query says (panel, branch, search). */
export interface Place {
  path: string;
  thread: string | null;
  query: URLSearchParams;
}

function read(): Place {
  const path = location.pathname;
  const found = /^\/t\/([^/]+)$/.exec(path);
  return { path, thread: found ? found[1]! : null, query: new URLSearchParams(location.search) };
}

export const place = new Store<Place>(read());
addEventListener("popstate", () => place.set(read()));

export function go(path: string, { replace = false } = {}): void {
  if (path === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  place.set(read());
}

/** Change what the query says; null takes a name out. */
export function setQuery(changes: Record<string, string | null>, { replace = true } = {}): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), { replace });
}

export const usePlace = (): Place => useStore(place);

/** Open a thread, keeping the panel open if it is. */
export function openThread(id: string | null, options?: { replace?: boolean }): void {
  const panel = new URLSearchParams(location.search).get("panel");
  go((id ? `/t/${id}` : "/") + (panel ? `?panel=${panel}` : ""), options);
}
