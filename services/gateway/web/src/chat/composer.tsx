import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { Icon } from "../lib/icons";
import { offers } from "../lib/session";
import { useStore } from "../lib/store";
import { Picker } from "./picker";
import { drafts } from "./thread-chat";

interface Props {
  /** Whose draft it is: a thread's id, or `new`. */
  of: string;
  busy: boolean;
  stopping: boolean;
  onSend: (text: string, how: "enqueue" | "steer") => void;
  onStop: () => void;
}

/** Where messages are written. Drafts are kept per thread; Enter sends, except while a word is being composed. */
export function Composer({ of, busy, stopping, onSend, onStop }: Props) {
  const changed = useStore(drafts.changed);
  const [text, setText] = useState(() => drafts.get(of));
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => setText(drafts.get(of)), [of, changed]);
  useLayoutEffect(() => {
    const element = area.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);
  useEffect(() => {
    // A keyboard that covers half of a phone's screen is opened by a finger, not by us.
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [of]);
  const write = (value: string) => {
    setText(value);
    drafts.keep(of, value);
  };
  const send = (how: "enqueue" | "steer" = "enqueue") => {
    if (!text.trim()) return;
    onSend(text, how);
    write("");
  };
  const steers = busy && offers("message.on_busy");
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={area}
        id="composer"
        rows={1}
        dir="auto"
        value={text}
        placeholder={busy ? "Write the next message; it is answered after this one" : "Write a message"}
        aria-label="Message"
        enterKeyHint="send"
        onChange={(event) => write(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || event.keyCode === 229) return;
          event.preventDefault();
          send(steers && (event.ctrlKey || event.metaKey) ? "steer" : "enqueue");
        }}
      />
      <div className="row">
        <Picker />
        {steers && text.trim() && (
          <button type="button" title="Join it to the answer that is being written (Ctrl Enter)" onClick={() => send("steer")}>
            Steer
          </button>
        )}
        {busy && !text.trim() ? (
          <button type="button" className="send stop" onClick={onStop} disabled={stopping} aria-label={stopping ? "Stopping" : "Stop"} title="Stop (Esc)">
            <Icon name="stop" size={18} />
          </button>
        ) : (
          <button type="submit" className="send" disabled={!text.trim()} aria-label={busy ? "Queue" : "Send"} title={busy ? "Send when this answer has ended" : "Send (Enter)"}>
            <Icon name={busy ? "clock" : "send"} size={18} />
          </button>
        )}
      </div>
    </form>
  );
}
