import { useEffect, useMemo, useRef, useState } from "react";
import { chatCommands } from "../chat/commands";
import { modelName } from "../lib/format";
import { chosenModel, useChoice } from "../lib/models";
import { togglePanel } from "../lib/keys";
import { owns } from "../lib/people";
import { openThread, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import { kept } from "../lib/store";
import { applyTheme, type Theme } from "../lib/theme";
import { useThread, useThreads } from "../threads/threads";
import { dialogs, openFor } from "./dialogs";

interface Command {
  name: string;
  kind: string;
  run: () => void;
}

/** Commands and chats by name. */
export function Palette() {
  const { items } = useThreads();
  const { models } = useChoice();
  const shown = useThread(usePlace().thread);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  const commands = useMemo<Command[]>(() => {
    const theme = (value: Theme) => () => {
      kept.set("theme", value);
      applyTheme(value);
    };
    return [
      { name: "New chat", kind: "", run: () => openThread(null) },
      ...(chatCommands.thread?.busy ? [{ name: "Stop the answer", kind: "", run: () => chatCommands.stop?.() }] : []),
      ...(shown?.role && offers("GET /v1/threads/{thread_id}/members") ? [{ name: owns(shown.role) ? "Share this chat" : "People of this chat", kind: "", run: () => setTimeout(() => openFor(shown.id, "share")) }] : []),
      ...(shown?.role && offers("GET /v1/threads/{thread_id}/schedules") ? [{ name: "Repeating messages", kind: "", run: () => setTimeout(() => openFor(shown.id, "schedules")) }] : []),
      { name: "Developer panel", kind: "", run: togglePanel },
      { name: "Settings", kind: "", run: () => setTimeout(() => dialogs.set("settings")) },
      ...(offers("GET /v1/admin/overview") ? [{ name: "Console", kind: "administrators", run: () => location.assign("/console") }] : []),
      { name: "Keyboard shortcuts", kind: "", run: () => setTimeout(() => dialogs.set("keys")) },
      { name: "Light colours", kind: "", run: theme("light") },
      { name: "Dark colours", kind: "", run: theme("dark") },
      { name: "Colours of the system", kind: "", run: theme("system") },
      ...models.map((model) => ({ name: `Use ${modelName(model.id)}`, kind: "model", run: () => chosenModel.set(model.id) })),
      ...[...items.values()].map((thread) => ({ name: thread.title || "New chat", kind: "chat", run: () => openThread(thread.id) })),
    ];
  }, [items, models, shown]);
  const wanted = text.trim().toLowerCase();
  const found = commands.filter((command) => wanted.split(/\s+/).every((word) => command.name.toLowerCase().includes(word))).slice(0, 50);
  const run = (command: Command | undefined) => {
    element.current?.close();
    command?.run();
  };
  return (
    <dialog ref={element} className="palette" aria-label="Commands" onClose={() => dialogs.set("")} onClick={(event) => event.target === element.current && element.current?.close()}>
      <div className="sheet">
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={found[at] ? `palette-${at}` : undefined}
          aria-label="Command or chat"
          placeholder="A command, or a chat"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown" || event.key === "ArrowUp") {
              event.preventDefault();
              setAt((before) => (before + (event.key === "ArrowDown" ? 1 : -1) + found.length) % Math.max(1, found.length));
            } else if (event.key === "Enter") {
              event.preventDefault();
              run(found[at]);
            }
          }}
        />
        <ul id="palette-list" role="listbox" aria-label="Found">
          {found.map((command, index) => (
            <li
              key={`${command.kind}${command.name}${index}`}
              id={`palette-${index}`}
              role="option"
              aria-selected={index === at}
              ref={
                index === at
                  ? (row) => {
                      row?.scrollIntoView({ block: "nearest" });
                    }
                  : undefined
              }
              onMouseMove={() => setAt(index)}
              onClick={() => run(command)}
            >
              <span>{command.name}</span>
              <small>{command.kind}</small>
            </li>
          ))}
        </ul>
        {found.length === 0 && <p className="hint">Nothing is called that.</p>}
      </div>
    </dialog>
  );
}
