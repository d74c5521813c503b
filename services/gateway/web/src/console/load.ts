import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, get, type Page } from "../lib/api";
import { say } from "../lib/toast";

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
  /** When `data` was read; 0 before. */
  at: number;
  again: () => void;
}

/** What an address answers, read anew every `seconds` while the tab is seen. What was read stays on the screen when a later
 * reading fails. An empty address reads nothing. */
export function useLoad<T>(path: string, seconds: number): Loaded<T> {
  const [found, setFound] = useState<{ path: string; data: T | null; error: ApiError | null; at: number }>({ path, data: null, error: null, at: 0 });
  const [asked, setAsked] = useState(0);
  const busy = useRef(false);
  useEffect(() => {
    if (!path) return;
    let gone = false;
    const read = async () => {
      if (document.hidden || busy.current) return;
      busy.current = true;
      try {
        const data = await get<T>(path);
        if (!gone) setFound({ path, data, error: null, at: Date.now() });
      } catch (error) {
        const problem = error instanceof ApiError ? error : new ApiError(0, "", (error as Error).message);
        if (!gone) setFound((before) => ({ path, data: before.path === path ? before.data : null, error: problem, at: before.path === path ? before.at : 0 }));
      } finally {
        busy.current = false;
      }
    };
    busy.current = false;
    void read();
    const timer = seconds ? setInterval(read, seconds * 1000) : undefined;
    document.addEventListener("visibilitychange", read);
    return () => {
      gone = true;
      clearInterval(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [path, seconds, asked]);
  const again = useCallback(() => setAsked((n) => n + 1), []);
  // Of another address is of no use here, but the rows of the same list under another filter may stay until the new ones are there.
  const same = found.path.split("?")[0] === path.split("?")[0];
  return same ? { data: found.data, error: found.error, at: found.at, again } : { data: null, error: null, at: 0, again };
}

interface Pages<T> {
  items: T[];
  next: string | null | undefined;
  /** Read one more page; nothing happens where there is none. */
  more: () => void;
  /** Back to the first page. */
  reset: () => void;
}

/** A list whose `first` page is read anew by itself, with the pages behind it that somebody asked for. An item that has moved into
 * the first page stands there only. */
export function usePages<T extends { id: string }>(address: string, first: Page<T> | null): Pages<T> {
  const [behind, setBehind] = useState<{ address: string; items: T[]; next: string | null } | null>(null);
  const later = behind?.address === address ? behind : null;
  const head = first?.items ?? [];
  const known = new Set(head.map((item) => item.id));
  const next = later ? later.next : first?.next_cursor;
  const more = () => {
    if (!next) return;
    get<Page<T>>(`${address}&cursor=${encodeURIComponent(next)}`)
      .then((found) => setBehind({ address, items: [...(later?.items ?? []), ...found.items], next: found.next_cursor }))
      .catch((error: Error) => say(error.message));
  };
  return { items: [...head, ...(later?.items ?? []).filter((item) => !known.has(item.id))], next, more, reset: () => setBehind(null) };
}
