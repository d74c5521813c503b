import { useEffect, useRef, useState } from "react";
import type { Thread } from "../lib/api";
import { Icon } from "../lib/icons";
import { owns, reads } from "../lib/people";
import { openThread, place } from "../lib/router";
import { offers } from "../lib/session";
import { say } from "../lib/toast";
import { openFor } from "../dialogs/dialogs";
import { change, forget } from "./threads";

/** What the caller may do with a thread: rename, share, repeat, tag; and its owner: pin, star, archive, delete. */
export function ThreadMenu({ thread, at, onClose }: { thread: Thread; at: DOMRect; onClose: () => void }) {
  const menu = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<"menu" | "rename" | "tags" | "delete">("menu");
  const [text, setText] = useState("");
  useEffect(() => {
    const element = menu.current;
    if (!element) return;
    element.showPopover();
    const width = element.offsetWidth;
    element.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    element.style.top = `${Math.max(8, Math.min(at.bottom + 4, innerHeight - element.offsetHeight - 8))}px`;
    element.querySelector<HTMLElement>("button, input")?.focus();
    const closed = (event: Event) => (event as ToggleEvent).newState === "closed" && onClose();
    element.addEventListener("toggle", closed);
    return () => element.removeEventListener("toggle", closed);
  }, []);
  const act = async (what: () => Promise<void>) => {
    onClose();
    try {
      await what();
    } catch (error) {
      say((error as Error).message);
    }
  };
  const [owner, writer] = [owns(thread.role), !reads(thread.role)];
  const open = (dialog: "share" | "schedules") => {
    onClose();
    openFor(thread.id, dialog);
  };
  const begin = (next: "rename" | "tags", value: string) => {
    setText(value);
    setView(next);
  };
  return (
    <div className="menu" popover="auto" ref={menu} role={view === "menu" ? "menu" : "dialog"} aria-label={thread.title || "Chat"} onKeyDown={view === "menu" ? arrows : undefined}>
      {view === "menu" && (
        <>
          {writer && (
            <button type="button" role="menuitem" onClick={() => begin("rename", thread.title)}>
              <Icon name="edit" /> Rename
            </button>
          )}
          {offers("GET /v1/threads/{thread_id}/members") && (
            <button type="button" role="menuitem" onClick={() => open("share")}>
              <Icon name="people" /> {owner ? "Share" : "People"}
            </button>
          )}
          {offers("GET /v1/threads/{thread_id}/schedules") && (
            <button type="button" role="menuitem" onClick={() => open("schedules")}>
              <Icon name="calendar" /> Repeating messages
            </button>
          )}
          {owner && (
            <>
              <button type="button" role="menuitem" onClick={() => act(() => change(thread, { pinned: !thread.pinned }))}>
                <Icon name="pin" /> {thread.pinned ? "Unpin" : "Pin"}
              </button>
              <button type="button" role="menuitem" onClick={() => act(() => change(thread, { starred: !thread.starred }))}>
                <Icon name="star" /> {thread.starred ? "Unstar" : "Star"}
              </button>
            </>
          )}
          {writer && (
            <button type="button" role="menuitem" onClick={() => begin("tags", thread.tags.join(", "))}>
              <Icon name="tag" /> Tags
            </button>
          )}
          {owner && (
            <>
              <button type="button" role="menuitem" onClick={() => act(() => change(thread, { archived: !thread.archived }))}>
                <Icon name="archive" /> {thread.archived ? "Take out of the archive" : "Archive"}
              </button>
              <button type="button" role="menuitem" className="danger" onClick={() => setView("delete")}>
                <Icon name="trash" /> Delete
              </button>
            </>
          )}
        </>
      )}
      {(view === "rename" || view === "tags") && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const tags = [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
            void act(() => change(thread, view === "rename" ? { title: text.trim() } : { tags }));
          }}
        >
          <label>
            {view === "rename" ? "Title" : "Tags, separated by commas"}
            <input autoFocus value={text} maxLength={view === "rename" ? 200 : 500} onChange={(event) => setText(event.target.value)} />
          </label>
          <button type="submit" className="primary">
            Save
          </button>
        </form>
      )}
      {view === "delete" && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (place.get().thread === thread.id) openThread(null, { replace: true });
            void act(() => forget(thread.id));
          }}
        >
          <p>
            Delete “{thread.title || "this chat"}” with all its messages{(thread.members ?? 1) > 1 ? ", for everybody in it" : ""}? That cannot be undone.
          </p>
          <div className="row">
            <button type="button" autoFocus onClick={onClose}>
              Keep
            </button>
            <button type="submit" className="danger">
              Delete
            </button>
          </div>
        </form>
      )}
    </div>
  );
}

function arrows(event: React.KeyboardEvent<HTMLElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step) return;
  event.preventDefault();
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitem]")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  items[(at + step + items.length) % items.length]?.focus();
}
