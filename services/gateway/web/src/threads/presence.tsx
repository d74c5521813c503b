/** Who else is in a thread now, and who types: told by the server over a stream of its own, only where somebody else may come. */
import { useEffect, useRef, useState } from "react";
import { openFor } from "../dialogs/dialogs";
import { post } from "../lib/api";
import { Icon } from "../lib/icons";
import { nameOf, owns, reads, shortOf, toneOf } from "../lib/people";
import { offers, session } from "../lib/session";
import { follow } from "../lib/sse";
import { Store, useStore } from "../lib/store";
import { onEntry } from "./feed";
import { useThread } from "./threads";

export interface Present {
  user_id: string;
  connections: number;
  typing: boolean;
}

interface Room {
  thread: string;
  others: readonly Present[];
}

const EMPTY: Room = { thread: "", others: [] };
const room = new Store<Room>(EMPTY);
/** Whoever has just sent what they typed no longer types, whatever the server still knows. */
const silent = new Map<string, number>();
onEntry((entry) => {
  if (entry.type !== "message.accepted" || !entry.by || entry.thread_id !== room.get().thread) return;
  silent.set(entry.by, Date.now() + TYPING_MILLISECONDS);
  const { by } = entry;
  room.set((before) => ({ ...before, others: before.others.map((one) => (one.user_id === by ? { ...one, typing: false } : one)) }));
});

const HIDDEN_MILLISECONDS = 20_000;
/** A hidden tab is no longer there after this. */
const SAY_MILLISECONDS = 3000;
/** The server knows for five seconds that somebody types. */
const TYPING_MILLISECONDS = 5000;
const MOST_SHOWN = 3;

/** The others who are in `thread` now. */
export function useOthers(thread: string): readonly Present[] {
  const now = useStore(room);
  return now.thread === thread ? now.others : EMPTY.others;
}

/** Take part in a thread while this tab is seen; comes back by itself after each cut. */
function useRoom(thread: string, on: boolean): void {
  useEffect(() => {
    if (!on) return;
    let leaving = 0;
    let following: AbortController | null = null;
    const come = () => {
      clearTimeout(leaving);
      if (following) return;
      following = new AbortController();
      void follow(`/v1/threads/${thread}/events?only=presence`, {
        signal: following.signal,
        onFrame: (frame) => {
          if (frame.event !== "presence") return;
          const { items } = JSON.parse(frame.data) as { items: Present[] };
          const others = items.filter((one) => one.user_id !== session.get().userId);
          room.set({ thread, others: others.map((one) => ((silent.get(one.user_id) ?? 0) > Date.now() ? { ...one, typing: false } : one)) });
        },
        // After one quick return nobody would have missed it; after two, what was known is no longer true.
        onState: (open, broken) => !open && broken > 1 && room.set({ thread, others: [] }),
      });
    };
    const leave = () => {
      following?.abort();
      following = null;
    };
    const look = () => {
      clearTimeout(leaving);
      if (document.hidden) leaving = window.setTimeout(leave, HIDDEN_MILLISECONDS);
      else come();
    };
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      clearTimeout(leaving);
      document.removeEventListener("visibilitychange", look);
      leave();
      room.set(EMPTY);
    };
  }, [thread, on]);
}

let saidAt = 0;
/** Somebody writes here: the others are told, where there are any. */
export function sayTyping(thread: string): void {
  const now = Date.now();
  if (room.get().thread !== thread || !room.get().others.length || now - saidAt < SAY_MILLISECONDS) return;
  saidAt = now;
  post(`/v1/threads/${thread}/typing`).catch(() => {});
}

/** What was typed has been sent: the next letter is said at once. */
export const stopTyping = (): void => void (saidAt = 0);

/** In the header: who else is there, and the way to the people of the thread. */
export function Who({ thread }: { thread: string }) {
  const known = useThread(thread);
  const shared = (known?.members ?? 1) > 1;
  useRoom(thread, shared && offers("GET /v1/threads/{thread_id}/presence"));
  const others = useOthers(thread);
  const said = useComings(others);
  if (!known?.role || !offers("GET /v1/threads/{thread_id}/members")) return null;
  const typing = others.filter((one) => one.typing).map((one) => nameOf(one.user_id));
  const label = [
    owns(known.role) ? "Share" : "People",
    others.length ? `${others.length} ${others.length === 1 ? "other is" : "others are"} here` : shared ? "nobody else is here now" : "",
    typing.length ? `${typing.join(", ")} ${typing.length === 1 ? "types" : "type"}` : "",
    reads(known.role) ? "you may read" : "",
  ].filter(Boolean);
  return (
    <>
      <button type="button" className="icon who" aria-label={label.join("; ")} title={label.join("; ")} onClick={() => openFor(thread, "share")} aria-haspopup="dialog">
        {others.slice(0, MOST_SHOWN).map((one) => (
          <Face key={one.user_id} id={one.user_id} typing={one.typing} />
        ))}
        {others.length > MOST_SHOWN && <small>+{others.length - MOST_SHOWN}</small>}
        <Icon name="people" size={18} />
      </button>
      <span className="unseen" role="status">
        {said}
      </span>
    </>
  );
}

/** A person as a small round mark. */
export function Face({ id, typing = false }: { id: string; typing?: boolean }) {
  return <span className={`face tone-${toneOf(id)}`} data-typing={typing || undefined} data-letters={shortOf(id).slice(-2)} aria-hidden="true" />;
}

/** Who types, above the message field, in room that is always there. */
export function Typing({ thread }: { thread: string }) {
  const typing = useOthers(thread).filter((one) => one.typing);
  if (!typing.length) return null;
  return (
    <p className="typing" aria-hidden="true">
      <i />
      <i />
      <i />
      <span>
        {typing.map((one) => nameOf(one.user_id)).join(", ")} {typing.length === 1 ? "types" : "type"}
      </span>
    </p>
  );
}

/** Comings and goings for a screen reader; that somebody types would be too much. */
function useComings(others: readonly Present[]): string {
  const before = useRef<string[]>([]);
  const [said, setSaid] = useState("");
  useEffect(() => {
    const now = others.map((one) => one.user_id);
    const came = now.filter((id) => !before.current.includes(id)).map((id) => `${nameOf(id)} is here`);
    const left = before.current.filter((id) => !now.includes(id)).map((id) => `${nameOf(id)} has left`);
    before.current = now;
    if (came.length || left.length) setSaid([...came, ...left].join(". "));
  }, [others]);
  return said;
}
