/** The user's threads, with what goes on in each. */
import { ApiError, get, type Page, patch, post, remove, type Thread } from "../lib/api";
import { offers, session } from "../lib/session";
import { kept, Store, useStore } from "../lib/store";
import { type Entry, followFeed, onEntry } from "./feed";

/** What a thread is doing. `unread`: it ended while this browser did not show it. */
export interface Activity {
  state: "idle" | "running" | "waiting" | "failed" | "done";
  unread: boolean;
  run?: string;
  preview?: string;
}

export interface Threads {
  items: ReadonlyMap<string, Thread>;
  /** Known, and not in the list that is shown: archived where that is not, or the other way round. */
  aside: ReadonlyMap<string, Thread>;
  activity: Readonly<Record<string, Activity>>;
  state: "loading" | "ready" | "failed";
  more: string | null;
  archived: boolean;
}

const EMPTY: Threads = { items: new Map(), aside: new Map(), activity: {}, state: "loading", more: null, archived: false };
export const threads = new Store<Threads>(EMPTY);
export const useThreads = () => useStore(threads);

/** One thread, wherever it is listed. */
export function useThread(id: string | null): Thread | undefined {
  const { items, aside } = useThreads();
  return id ? (items.get(id) ?? aside.get(id)) : undefined;
}

/** Why a thread that this tab had is gone. */
export const gone = new Store<Readonly<Record<string, "removed" | "left" | "deleted">>>({});

/** The thread on the screen: what ends there is read. */
let shown: string | null = null;
let following: AbortController | null = null;
/** The newest run of each thread whose end was on the screen, however late the feed tells of it. */
let ends: Record<string, string> = {};

export function show(id: string | null): void {
  shown = id;
  markRead(id);
}

/** The server is told, and tells the other devices. */
function tellRead(id: string): void {
  if (offers("POST /v1/threads/{thread_id}/read")) post(`/v1/threads/${id}/read`).catch(() => {});
}

/** The end of this run was shown to the user. */
export function sawEnd(id: string, run: string): void {
  if (document.hidden || (ends[id] ?? "") >= run) return;
  delete ends[id];
  ends = Object.fromEntries([...Object.entries(ends).slice(-100), [id, run]]);
  const now = threads.get().activity[id];
  if (now?.run === run && (now.unread || now.state === "running")) setActivity(id, { state: "idle", unread: false });
  keep();
}

export function markRead(id: string | null): void {
  if (id === null || document.hidden) return;
  const now = threads.get().activity[id];
  if (!now?.unread) return;
  tellRead(id);
  setActivity(id, { ...now, unread: false, state: now.state === "running" || now.state === "waiting" ? now.state : "idle" });
}
document.addEventListener("visibilitychange", () => markRead(shown));

function setActivity(id: string, activity: Activity): void {
  threads.set((before) => {
    const all = { ...before.activity };
    if (activity.state === "idle" && !activity.unread) delete all[id];
    else all[id] = activity;
    return { ...before, activity: all };
  });
  keep();
}

let keeping = 0;
let cursor = "";
function keep(): void {
  clearTimeout(keeping);
  keeping = window.setTimeout(() => {
    kept.set("feed", { user: session.get().userId, cursor, activity: threads.get().activity, ends });
  }, 200);
}

/** Load the list and follow what happens. Called once there is a session. */
export async function startThreads(): Promise<void> {
  following?.abort();
  following = new AbortController();
  const before = kept.get<{ user?: string; cursor?: string; activity?: Record<string, Activity>; ends?: Record<string, string> }>("feed", {});
  const known = before.user === session.get().userId;
  cursor = (known && before.cursor) || "";
  ends = (known && before.ends) || {};
  threads.set((now) => ({ ...now, activity: known ? (before.activity ?? {}) : {} }));
  // A browser that knows nothing yet reads the feed from its beginning, and takes what ended there for read.
  const fresh = !known;
  const startedAt = Date.now();
  onEntry((entry, at) => {
    cursor = at;
    take(entry, fresh && Date.parse(entry.at) < startedAt - 60_000);
  });
  await reload();
  followFeed(cursor, following.signal);
}

export async function reload(archived = threads.get().archived): Promise<void> {
  try {
    const page = await get<Page<Thread>>(`/v1/threads?archived=${archived}&limit=100`);
    threads.set((before) => ({
      ...before,
      archived,
      items: new Map(page.items.map((thread) => [thread.id, thread])),
      aside: new Map([...before.aside, ...before.items].filter(([id]) => !page.items.some((thread) => thread.id === id))),
      more: page.next_cursor,
      state: "ready",
      activity: {
        ...Object.fromEntries(page.items.filter((thread) => thread.unread && thread.id !== shown).map((thread) => [thread.id, { state: "done", unread: true } as Activity])),
        ...before.activity,
      },
    }));
  } catch {
    threads.set((before) => ({ ...before, state: before.items.size ? "ready" : "failed" }));
  }
}

export async function loadMore(): Promise<void> {
  const { more, archived } = threads.get();
  if (!more) return;
  const page = await get<Page<Thread>>(`/v1/threads?archived=${archived}&limit=200&cursor=${encodeURIComponent(more)}`);
  threads.set((before) => ({
    ...before,
    items: new Map([...before.items, ...page.items.map((thread) => [thread.id, thread] as const)]),
    more: page.next_cursor,
  }));
}

export async function loadThread(id: string): Promise<Thread | null> {
  try {
    const thread = await get<Thread>(`/v1/threads/${id}`);
    put(thread);
    return thread;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    drop(id);
    return null;
  }
}

function put(thread: Thread): void {
  threads.set((before) => {
    const [items, aside] = [new Map(before.items), new Map(before.aside)];
    items.delete(thread.id);
    aside.delete(thread.id);
    (thread.archived === before.archived ? items : aside).set(thread.id, thread);
    return { ...before, items, aside };
  });
  if (thread.id in gone.get()) gone.set(({ [thread.id]: _, ...others }) => others);
}

function drop(id: string): void {
  threads.set((before) => {
    const [items, aside] = [new Map(before.items), new Map(before.aside)];
    items.delete(id);
    aside.delete(id);
    const activity = { ...before.activity };
    delete activity[id];
    return { ...before, items, aside, activity };
  });
  keep();
}

/** Change a thread; seen at once, and taken back where the server refuses. */
export async function change(thread: Thread, changes: Partial<Pick<Thread, "title" | "pinned" | "starred" | "archived" | "tags" | "model" | "agent">>): Promise<void> {
  put({ ...thread, ...changes });
  try {
    put(await patch<Thread>(`/v1/threads/${thread.id}`, changes));
  } catch (error) {
    put(thread);
    throw error;
  }
}

export async function forget(id: string): Promise<void> {
  await remove(`/v1/threads/${id}`);
  drop(id);
}

/** Give up one's place in a thread of somebody else's. */
export async function quit(id: string): Promise<void> {
  await remove(`/v1/threads/${id}/members/me`);
  drop(id);
}

/** A thread that was just begun here: it is in the list before the server has said so. */
export function begin(id: string, title: string, model: string): void {
  if (threads.get().items.has(id)) return;
  const now = new Date().toISOString();
  put({ id, title, model, agent: "", archived: false, pinned: false, starred: false, tags: [], created_at: now, updated_at: now });
}

const fetching = new Set<string>();
function fetchSoon(id: string): void {
  if (fetching.has(id)) return;
  fetching.add(id);
  setTimeout(() => {
    loadThread(id)
      .catch(() => {})
      .finally(() => fetching.delete(id));
  }, 150);
}

function take(entry: Entry, old: boolean): void {
  const id = entry.thread_id;
  const seen = old || (id === shown && !document.hidden) || (!!entry.run_id && (ends[id] ?? "") >= entry.run_id);
  const before = threads.get().activity[id];
  if (seen && !old && entry.unread) tellRead(id);
  const touch = () => {
    const known = threads.get().items.get(id);
    if (known && known.updated_at < entry.at) put({ ...known, updated_at: entry.at });
    // One that was begun here is not wholly known yet.
    if (!known?.role && !old) fetchSoon(id);
  };
  switch (entry.type) {
    case "thread.changed": {
      const known = threads.get().items.get(id);
      if (known && entry.changes) put({ ...known, ...(entry.changes as Partial<Thread>) });
      else if (!old) fetchSoon(id);
      break;
    }
    case "thread.deleted":
      if (!old) gone.set((all) => ({ ...all, [id]: "deleted" }));
      drop(id);
      break;
    case "thread.shared":
      if (entry.unread && !seen) setActivity(id, { state: "done", unread: true });
      if (!old) fetchSoon(id);
      break;
    case "thread.member_changed":
      if (!old) fetchSoon(id);
      break;
    case "thread.member_removed":
      // What is old is known to the list that was read since.
      if (old) break;
      if (entry.changes?.member_id === session.get().userId) {
        gone.set((all) => ({ ...all, [id]: entry.by === session.get().userId ? "left" : "removed" }));
        drop(id);
      } else fetchSoon(id);
      break;
    case "message.accepted":
      if (entry.run_at && Date.parse(entry.run_at) > Date.now()) break;
      setActivity(id, { state: "running", unread: false, run: entry.run_id });
      touch();
      break;
    case "run.waiting":
      setActivity(id, { state: "waiting", unread: !seen, run: entry.run_id, preview: entry.prompt });
      break;
    case "run.completed":
    case "run.failed":
    case "run.cancelled":
      if (before?.run && entry.run_id && before.run > entry.run_id && before.state === "running") break;
      setActivity(id, {
        state: seen ? "idle" : entry.type === "run.failed" ? "failed" : "done",
        unread: !seen && entry.type !== "run.cancelled",
        run: entry.run_id,
        preview: entry.preview,
      });
      touch();
      break;
    case "thread.read":
      if (before?.unread) setActivity(id, { ...before, unread: false, state: before.state === "running" ? "running" : "idle" });
      break;
  }
}
