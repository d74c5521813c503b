/** The dialogs, loaded when the first one is opened. */
import { type ReactNode, useEffect, useRef } from "react";
import { Icon } from "../lib/icons";
import { KEYS } from "../lib/keys";
import { useStore } from "../lib/store";
import { dialogs } from "./dialogs";
import { Palette } from "./palette";
import { Schedules } from "./schedules";
import { Settings } from "./settings";
import { Share } from "./share";
import "./dialogs.css";

export default function Dialogs() {
  const open = useStore(dialogs);
  if (open === "palette") return <Palette />;
  if (open === "settings") return <Settings />;
  if (open === "share") return <Share />;
  if (open === "schedules") return <Schedules />;
  if (open === "keys") return <Keys />;
  return null;
}

export function Dialog({ title, children, className = "" }: { title: string; children: ReactNode; className?: string }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog
      ref={element}
      className={className}
      aria-label={title}
      onClose={() => dialogs.set("")}
      onClick={(event) => event.target === element.current && element.current?.close()}
    >
      <div className="sheet">
        <header>
          <h2>{title}</h2>
          <button type="button" className="icon" aria-label="Close" onClick={() => element.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

function Keys() {
  return (
    <Dialog title="Keyboard">
      <table className="keys">
        <tbody>
          {KEYS.map(([keys, what]) => (
            <tr key={keys}>
              <th scope="row">
                {keys.split(" ").map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
