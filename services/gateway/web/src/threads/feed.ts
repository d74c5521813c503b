/** What happens to the user's threads, on all devices. One tab follows the feed for all tabs of this browser: a browser opens
 * six connections to one address and no more. */
import { tellConnection } from "../lib/connection";
import { session } from "../lib/session";
import { follow } from "../lib/sse";

export interface Entry {
  id: string;
  type: string;
  thread_id: string;
  at: string;
  run_id?: string;
  message_id?: string;
  code?: string;
  preview?: string;
  changes?: Record<string, unknown>;
  reason?: string;
  prompt?: string;
  wait_id?: string;
  by?: string;
  /** When a message for later is answered. */
  run_at?: string;
  /** The server counts it as not read. */
  unread?: boolean;
}

type Listener = (entry: Entry, cursor: string) => void;
const listeners = new Set<Listener>();

export function onEntry(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (entry: Entry, cursor: string) => listeners.forEach((listener) => listener(entry, cursor));

/** Follow from `cursor` on, until `signal` aborts. */
export function followFeed(cursor: string, signal: AbortSignal): void {
  const channel = new BroadcastChannel(`everthread.feed.${session.get().userId}`);
  let last = cursor;
  channel.onmessage = ({ data }) => {
    if ("open" in data) tellConnection("feed", data.open);
    else if (isAfter(data.cursor, last)) {
      last = data.cursor;
      tell(data.entry, last);
    }
  };
  signal.addEventListener("abort", () => channel.close());
  const lead = () =>
    follow("/v1/me/events", {
      cursor: last,
      signal,
      onState: (open) => {
        tellConnection("feed", open);
        channel.postMessage({ open });
      },
      onFrame: (frame) => {
        if (!isAfter(frame.id, last)) return;
        last = frame.id;
        const entry = JSON.parse(frame.data) as Entry;
        channel.postMessage({ entry, cursor: last });
        tell(entry, last);
      },
    });
  // Whoever holds the lock leads; when that tab closes, the next one goes on from where it was told last.
  if (navigator.locks) navigator.locks.request(`everthread.feed.${session.get().userId}`, { signal }, lead).catch(() => {});
  else void lead();
}

function isAfter(cursor: string, before: string): boolean {
  return !before || parseInt(cursor) > parseInt(before);
}

