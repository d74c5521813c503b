import { memo, useDeferredValue, useEffect, useMemo, useState } from "react";
import type { Thread } from "../lib/api";
import { ago } from "../lib/format";
import { Icon } from "../lib/icons";
import { nameOf, owns } from "../lib/people";
import { openThread, setQuery, usePlace } from "../lib/router";
import { dialogs } from "../dialogs/dialogs";
import { ThreadMenu } from "./thread-menu";
import { type Activity, loadMore, reload, threads, useThreads } from "./threads";

interface Group {
  name: string;
  items: Thread[];
}

/** The threads: what runs, waits or was not read yet on top, then what is pinned, then by day. */
export function Sidebar({ current, onClose }: { current: string | null; onClose: () => void }) {
  const { items, activity, state, more, archived } = useThreads();
  const { query } = usePlace();
  const search = query.get("q") ?? "";
  const [menu, setMenu] = useState<{ thread: Thread; at: DOMRect } | null>(null);
  const wanted = useDeferredValue(search.trim().toLowerCase());
  useEffect(() => {
    // A search looks at everything, not only at what was scrolled to.
    if (wanted && more) void loadMore().catch(() => {});
  }, [wanted, more]);
  const groups = useMemo(() => grouped([...items.values()], activity, wanted), [items, activity, wanted]);
  const total = groups.reduce((sum, group) => sum + group.items.length, 0);
  return (
    <nav className="sidebar" aria-label="Chats">
      <header>
        <a
          className="brand"
          href="/"
          onClick={(event) => {
            event.preventDefault();
            openThread(null);
            onClose();
          }}
        >
          <img src="/favicon.svg" width="22" height="22" alt="" /> Everthread
        </a>
        <button type="button" className="icon close-drawer" aria-label="Close the list" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <button
        type="button"
        className="new"
        onClick={() => {
          openThread(null);
          onClose();
        }}
      >
        <Icon name="plus" /> New chat
      </button>
      <label className="search">
        <Icon name="search" size={14} />
        <input type="search" placeholder="Search titles and tags" aria-label="Search chats" value={search} onChange={(event) => setQuery({ q: event.target.value || null })} />
      </label>
      <div className="threads" data-state={state}>
        {groups.map((group) => (
          <section key={group.name} aria-label={group.name}>
            <h2>{group.name}</h2>
            <ul>
              {group.items.map((thread) => (
                <Row key={thread.id} thread={thread} activity={activity[thread.id]} current={thread.id === current} onOpen={onClose} onMenu={(at) => setMenu({ thread, at })} />
              ))}
            </ul>
          </section>
        ))}
        {state === "failed" && (
          <p className="hint">
            The list could not be loaded. <button type="button" className="link" onClick={() => void reload()}>Try again</button>
          </p>
        )}
        {state === "ready" && total === 0 && <p className="hint">{wanted ? "Nothing is called that." : archived ? "Nothing is archived." : "Your chats will be here."}</p>}
        {more && !wanted && (
          <button type="button" className="link" onClick={() => void loadMore()}>
            Show older
          </button>
        )}
      </div>
      <footer>
        <button type="button" className="quiet" aria-pressed={archived} onClick={() => void reload(!threads.get().archived)}>
          <Icon name="archive" size={14} /> {archived ? "Back to chats" : "Archive"}
        </button>
        <button type="button" className="quiet" onClick={() => dialogs.set("settings")}>
          <Icon name="gear" size={14} /> Settings
        </button>
      </footer>
      {menu && <ThreadMenu thread={menu.thread} at={menu.at} onClose={() => setMenu(null)} />}
    </nav>
  );
}

const Row = memo(
  function Row({ thread, activity, current, onOpen, onMenu }: { thread: Thread; activity?: Activity; current: boolean; onOpen: () => void; onMenu: (at: DOMRect) => void }) {
    const state = activity ? label(activity) : "";
    return (
      <li className={current ? "current" : undefined} data-thread={thread.id} data-activity={activity?.state ?? "idle"}>
        <a
          href={`/t/${thread.id}`}
          aria-current={current ? "page" : undefined}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            openThread(thread.id);
            onOpen();
          }}
          onContextMenu={(event) => {
            event.preventDefault();
            onMenu(new DOMRect(event.clientX, event.clientY, 0, 0));
          }}
        >
          <span className="title">
            {thread.starred && <Icon name="star" size={12} />}
            <span dir="auto">{thread.title || "New chat"}</span>
          </span>
          <span className="meta">
            {(thread.members ?? 1) > 1 && <Shared thread={thread} />}
            {activity && <span className={`dot ${activity.state}`} title={state} />}
            <span className="unseen">{state}</span>
            {activity?.state === "running" ? "writing" : activity?.state === "waiting" ? "waits for you" : ago(thread.updated_at)}
            {thread.tags.map((tag) => (
              <span className="tag" key={tag}>
                {tag}
              </span>
            ))}
          </span>
        </a>
        <button type="button" className="icon" aria-label={`Actions for ${thread.title || "this chat"}`} onClick={(event) => onMenu(event.currentTarget.getBoundingClientRect())}>
          <Icon name="more" />
        </button>
      </li>
    );
  },
  (a, b) => a.thread === b.thread && a.activity === b.activity && a.current === b.current,
);

/** That others are in it too, and whose it is. */
function Shared({ thread }: { thread: Thread }) {
  const others = thread.members! - 1;
  const words = owns(thread.role) ? `Shared with ${others} ${others === 1 ? "other" : "others"}` : `Shared by ${nameOf(thread.owner_id ?? "")}, you are ${thread.role === "editor" ? "an editor" : "a viewer"}`;
  return (
    <span className="shared" title={words}>
      <Icon name="people" size={13} />
      <span className="unseen">{words}</span>
    </span>
  );
}

const label = ({ state, unread }: Activity): string =>
  state === "running" ? "is being answered" : state === "waiting" ? "waits for you" : state === "failed" ? "failed, not read" : unread ? "answered, not read" : "";

function grouped(all: Thread[], activity: Readonly<Record<string, Activity>>, wanted: string): Group[] {
  const found = all
    .filter((thread) => !wanted || thread.title.toLowerCase().includes(wanted) || thread.tags.some((tag) => tag.toLowerCase().includes(wanted)))
    .sort((a, b) => b.updated_at.localeCompare(a.updated_at));
  const today = new Date().setHours(0, 0, 0, 0);
  const week = today - 6 * 86_400_000;
  const groups: Record<string, Thread[]> = { Now: [], Pinned: [], Today: [], "This week": [], Earlier: [] };
  for (const thread of found) {
    const now = activity[thread.id];
    const at = Date.parse(thread.updated_at);
    const name = now && (now.state === "running" || now.state === "waiting" || now.unread) ? "Now" : thread.pinned ? "Pinned" : at >= today ? "Today" : at >= week ? "This week" : "Earlier";
    groups[name]!.push(thread);
  }
  return Object.entries(groups)
    .filter(([, items]) => items.length)
    .map(([name, items]) => ({ name, items }));
}
