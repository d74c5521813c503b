import { lazy, Suspense, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Icon } from "../lib/icons";
import { moment } from "../lib/moments";
import { offers } from "../lib/session";
import { useStore } from "../lib/store";
import { say } from "../lib/toast";
import { sayTyping, stopTyping } from "../threads/presence";
import { Picker } from "./picker";
import { drafts } from "./thread-chat";

const Later = lazy(() => import("./later"));

interface Props {
  /** Whose draft it is: a thread's id, or `new`. */
  of: string;
  busy: boolean;
  stopping: boolean;
  onSend: (text: string, how: "enqueue" | "steer") => void;
  onStop: () => void;
  /** Have it answered then; rejects with a sentence. */
  onLater: (text: string, at: Date) => Promise<void>;
  /** To the messages that are sent again and again. */
  onRepeat?: () => void;
}

/** Where messages are written. Drafts are kept per thread; Enter sends, except while a word is being composed. */
export function Composer({ of, busy, stopping, onSend, onStop, onLater, onRepeat }: Props) {
  const changed = useStore(drafts.changed);
  const [text, setText] = useState(() => drafts.get(of));
  const [told, setTold] = useState("");
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
    stopTyping();
    write("");
  };
  const later = async (at: Date) => {
    try {
      await onLater(text, at);
      write("");
      setTold(`It is sent ${moment(at.getTime())}.`);
    } catch (error) {
      say((error as Error).message);
    }
  };
  const steers = busy && offers("message.on_busy");
  return (
    <>
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
          onChange={(event) => {
            write(event.target.value);
            if (event.target.value.trim()) sayTyping(of);
          }}
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
          {offers("message.run_at") && (
            <button type="button" popoverTarget="later" className="icon later-button" aria-label="Send later or repeatedly" title="Send later or repeatedly">
              <Icon name="calendar" size={18} />
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
      <span className="unseen" role="status">
        {told}
      </span>
      {offers("message.run_at") && <LaterMenu ready={!!text.trim()} onChoose={later} onRepeat={onRepeat} />}
    </>
  );
}

/** The choice of a moment. */
function LaterMenu({ ready, onChoose, onRepeat }: { ready: boolean; onChoose: (at: Date) => Promise<void>; onRepeat?: () => void }) {
  const popover = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const element = popover.current;
    const toggled = (event: Event) => setOpen((event as ToggleEvent).newState === "open");
    element?.addEventListener("toggle", toggled);
    return () => element?.removeEventListener("toggle", toggled);
  }, []);
  const close = () => popover.current?.hidePopover();
  return (
    <div popover="auto" id="later" ref={popover} className="menu wide later" role="dialog" aria-label="Send later">
      {open && (
        <Suspense>
          <Later
            ready={ready}
            onChoose={(at) => {
              close();
              void onChoose(at);
            }}
            onRepeat={
              onRepeat &&
              (() => {
                close();
                onRepeat();
              })
            }
          />
        </Suspense>
      )}
    </div>
  );
}
