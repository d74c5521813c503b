import { useEffect } from "react";
import { chatCommands } from "../chat/commands";
import { dialogs } from "../dialogs/dialogs";
import { threads } from "../threads/threads";
import { openThread, place, setQuery } from "./router";

/** The keyboard. Shortcuts without a modifier work outside of fields only. */
export const KEYS: ReadonlyArray<[string, string]> = [
  ["Ctrl K", "Commands and chats"],
  ["Ctrl .", "Developer panel"],
  ["Ctrl Shift O", "New chat"],
  ["Ctrl ,", "Settings"],
  ["/", "To the message field"],
  ["j / k", "Next or previous chat"],
  ["Esc", "Stop the answer; close what is open"],
  ["Enter", "Send, or queue while an answer is written"],
  ["Shift Enter", "A new line"],
  ["Ctrl Enter", "Steer the answer that is being written, where offered"],
  ["?", "This list"],
];

export function useKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const typing = target.matches?.("input, textarea, select, [contenteditable]");
      const command = event.ctrlKey || event.metaKey;
      const run = (what: () => void) => {
        event.preventDefault();
        what();
      };
      if (command && event.key === "k") return run(() => (dialogs.get() === "palette" ? document.querySelector<HTMLDialogElement>("dialog.palette")?.close() : dialogs.set("palette")));
      if (command && event.key === ".") return run(togglePanel);
      if (command && event.key === ",") return run(() => dialogs.set("settings"));
      if (command && event.shiftKey && event.key.toLowerCase() === "o") return run(() => openThread(null));
      if (dialogs.get()) return;
      if (event.key === "Escape" && !event.isComposing && !document.querySelector("[popover]:popover-open, .editing")) return chatCommands.stop?.();
      if (typing || command || event.altKey) return;
      if (event.key === "/") return run(() => document.getElementById("composer")?.focus());
      if (event.key === "?") return run(() => dialogs.set("keys"));
      if (event.key === "j" || event.key === "k") return run(() => step(event.key === "j" ? 1 : -1));
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function togglePanel(): void {
  const open = place.get().query.has("panel");
  setQuery(open ? { panel: null, run: null } : { panel: "events" });
}

function step(by: number): void {
  const shown = [...document.querySelectorAll<HTMLElement>("[data-thread]")].map((row) => row.dataset.thread!);
  const ids = shown.length ? shown : [...threads.get().items.keys()];
  const at = ids.indexOf(place.get().thread ?? "");
  const next = ids[Math.max(0, Math.min(ids.length - 1, at + by))];
  if (next) openThread(next);
}
