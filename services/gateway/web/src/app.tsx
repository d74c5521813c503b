import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { Boundary } from "./boundary";
import { ChatView } from "./chat/chat-view";
import { useConnection } from "./lib/connection";
import { newId } from "./lib/ids";
import "./lib/invitation";
import { Icon } from "./lib/icons";
import { loadChoice } from "./lib/models";
import { go, openThread, setQuery, usePlace } from "./lib/router";
import { enter, session, useSession } from "./lib/session";
import { pause } from "./lib/sse";
import { kept, useStore } from "./lib/store";
import { applyTheme } from "./lib/theme";
import { say, Toast } from "./lib/toast";
import { dialogs } from "./dialogs/dialogs";
import { useKeys } from "./lib/keys";
import { SignIn } from "./sign-in";
import { Sidebar } from "./threads/sidebar";
import { Who } from "./threads/presence";
import { gone, loadThread, show, startThreads, threads, useThread, useThreads } from "./threads/threads";
import { Welcome } from "./welcome";

const Panel = lazy(() => import("./panel/panel"));
const Join = lazy(() => import("./threads/join"));
const Dialogs = lazy(() => import("./dialogs/all"));

export function App() {
  const { state } = useSession();
  useEffect(() => {
    applyTheme(kept.get("theme", "system"));
    void start();
  }, []);
  if (state === "open") return <Shell />;
  if (state === "closed") return <SignIn />;
  return (
    <main className="empty" aria-busy="true">
      {state === "away" && (
        <>
          <h1>The server does not answer</h1>
          <p>What you have written and what is being answered is safe there. This page tries again by itself.</p>
        </>
      )}
    </main>
  );
}

async function start(): Promise<void> {
  for (let n = 0; ; n++) {
    if (await enter()) break;
    if (session.get().state === "closed") return;
    await pause(Math.min(500 * 2 ** n, 5000));
  }
}

function Shell() {
  const place = usePlace();
  const dialog = useStore(dialogs);
  const { userId } = useSession();
  const [drawer, setDrawer] = useState(false);
  // A chat that was begun here: its id is known before the server knows it.
  const [begun, setBegun] = useState<{ id: string; first: string } | null>(null);
  const panel = place.query.get("panel");
  useKeys();
  useDrawer(drawer, setDrawer);
  useEffect(() => {
    void startThreads();
    loadChoice().catch((error: Error) => say(error.message));
  }, [userId]);
  useEffect(() => {
    show(place.thread);
    if (place.thread && !threads.get().items.has(place.thread) && begun?.id !== place.thread) loadThread(place.thread).catch(() => {});
  }, [place.thread]);
  useEffect(() => {
    // A notification was clicked, and this tab was taken for it.
    const told = ({ data }: MessageEvent) => /^\/t\/\w+$/.test(data?.open) && go(data.open);
    navigator.serviceWorker?.addEventListener("message", told);
    return () => navigator.serviceWorker?.removeEventListener("message", told);
  }, []);
  const send = (text: string) => {
    const id = newId("thr");
    setBegun({ id, first: text });
    openThread(id);
  };
  return (
    <div className="shell" data-panel={panel ? "" : undefined} data-drawer={drawer ? "" : undefined}>
      <a className="skip" href="#composer">
        To the message field
      </a>
      <Sidebar current={place.thread} onClose={() => setDrawer(false)} />
      <div className="scrim" onClick={() => setDrawer(false)} />
      <main inert={drawer}>
        <TopBar thread={place.thread} onDrawer={() => setDrawer(true)} />
        {place.thread ? (
          <ChatView
            key={place.thread}
            id={place.thread}
            fresh={begun?.id === place.thread}
            first={begun?.id === place.thread ? begun.first : undefined}
            branch={place.query.get("branch") ?? ""}
          />
        ) : /^\/join(\/|$)/.test(place.path) ? (
          <Suspense>
            <Join />
          </Suspense>
        ) : (
          <Welcome onSend={send} />
        )}
      </main>
      {panel && (
        <Suspense fallback={<aside className="panel" aria-busy="true" />}>
          <Boundary what="The developer panel">
            <Panel />
          </Boundary>
        </Suspense>
      )}
      {dialog && (
        <Suspense>
          <Dialogs />
        </Suspense>
      )}
      <Pill />
      <Toast />
      <Title thread={place.thread} />
    </div>
  );
}

/** On narrow screens the list lies over the chat: the keyboard goes into it, Escape closes it, and back to its button. */
function useDrawer(open: boolean, set: (open: boolean) => void): void {
  useEffect(() => {
    if (!open) return;
    const narrow = matchMedia("(max-width: 760px)");
    const widened = () => narrow.matches || set(false);
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || dialogs.get() || document.querySelector("[popover]:popover-open")) return;
      event.stopImmediatePropagation();
      set(false);
    };
    document.querySelector<HTMLElement>(".close-drawer")?.focus();
    narrow.addEventListener("change", widened);
    addEventListener("keydown", onKey, true);
    return () => {
      narrow.removeEventListener("change", widened);
      removeEventListener("keydown", onKey, true);
      const within = document.activeElement === document.body || document.activeElement?.closest(".sidebar");
      if (within) document.querySelector<HTMLElement>(".open-drawer")?.focus();
    };
  }, [open]);
}

function TopBar({ thread, onDrawer }: { thread: string | null; onDrawer: () => void }) {
  const { activity } = useThreads();
  const { path, query } = usePlace();
  const known = useThread(thread);
  const losses = useStore(gone);
  const lost = !!thread && thread in losses;
  const wanting = Object.values(activity).filter((now) => now.state === "waiting" || now.unread).length;
  return (
    <header className="top">
      <button type="button" className="icon open-drawer" aria-label={`Chats${wanting ? `, ${wanting} want you` : ""}`} onClick={onDrawer}>
        <Icon name="menu" size={20} />
        {wanting > 0 && <span className="badge">{wanting}</span>}
      </button>
      <h1 dir="auto">{thread && !lost ? known?.title || "New chat" : <span className="unseen">{lost ? "Chat" : path.startsWith("/join") ? "Invitation" : "New chat"}</span>}</h1>
      {thread && <Who key={thread} thread={thread} />}
      <button type="button" className="icon" aria-label="Commands" title="Commands (Ctrl K)" onClick={() => dialogs.set("palette")}>
        <Icon name="search" size={18} />
      </button>
      <button
        type="button"
        className="icon"
        id="panel-toggle"
        aria-label="Developer panel"
        aria-pressed={query.has("panel")}
        title="Developer panel (Ctrl .)"
        onClick={() => setQuery(query.has("panel") ? { panel: null, run: null } : { panel: "events" })}
      >
        <Icon name="code" size={18} />
      </button>
    </header>
  );
}

/** Shown a second after the connection was lost, gone at once when it is back. */
function Pill() {
  const { lost, since } = useConnection();
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!lost) return;
    const timer = setTimeout(() => setLate(true), Math.max(0, 1000 - (Date.now() - since)));
    return () => clearTimeout(timer);
  }, [lost, since]);
  return (
    <div className="connection" role="status">
      {lost && late && (
        <span>
          <span className="dot waiting" aria-hidden="true" /> {navigator.onLine ? "Reconnecting" : "Offline"}. Answers go on without you; drafts are kept.
        </span>
      )}
    </div>
  );
}

/** The tab's title and icon say what goes on. */
function Title({ thread }: { thread: string | null }) {
  const { items, activity } = useThreads();
  const all = Object.values(activity);
  const unread = all.filter((now) => now.unread).length;
  const state = all.some((now) => now.state === "waiting") ? "waiting" : all.some((now) => now.state === "failed") ? "failed" : unread ? "unread" : all.some((now) => now.state === "running") ? "running" : "";
  const name = (thread && items.get(thread)?.title) || "Everthread";
  useEffect(() => {
    document.title = `${unread ? `(${unread}) ` : ""}${state === "running" ? "… " : ""}${name}`;
  }, [name, unread, state]);
  const icon = useMemo(() => {
    const colours: Record<string, string> = { waiting: "#d97706", failed: "#c02626", unread: "#2563eb", running: "#9aa1ab" };
    const dot = state ? `<circle cx="25" cy="25" r="7" fill="${colours[state]}" stroke="#fff" stroke-width="2"/>` : "";
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f6b5c"/><path d="M8 10h12a4 4 0 0 1 0 8H12a3 3 0 0 0 0 6h12" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/>${dot}</svg>`;
    return `data:image/svg+xml,${encodeURIComponent(svg)}`;
  }, [state]);
  useEffect(() => {
    document.getElementById("favicon")?.setAttribute("href", icon);
  }, [icon]);
  return null;
}
