import { useChat } from "@ai-sdk/react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useConnection } from "../lib/connection";
import { Icon } from "../lib/icons";
import { openThread, setQuery } from "../lib/router";
import { useSession } from "../lib/session";
import { useStore } from "../lib/store";
import { chatCommands } from "./commands";
import { Composer } from "./composer";
import { KillButton } from "./kill";
import { MessageView } from "./message";
import { waitsIn } from "./messages";
import { Announcer, StatusLine } from "./status";
import { ThreadChat } from "./thread-chat";
import { WaitingForm } from "./waiting";

/** One thread: its messages, what goes on, and where one writes. `fresh`: it was begun here and nothing is stored yet. */
export function ChatView({ id, fresh, first, branch }: { id: string; fresh: boolean; first?: string; branch: string }) {
  const thread = useMemo(() => new ThreadChat(id, fresh, branch), [id]);
  useEffect(() => {
    thread.revive();
    if (first) void thread.send(first);
    return () => thread.close();
  }, [thread]);
  return <Conversation thread={thread} />;
}

function Conversation({ thread }: { thread: ThreadChat }) {
  const { messages, status } = useChat({ chat: thread.chat });
  const view = useStore(thread.view);
  const { lost } = useConnection();
  const { offers } = useSession();
  const last = messages.at(-1);
  const busy = status === "submitted" || status === "streaming";
  // The answer that is looked after: being written, or waiting for somebody. Others may be queued behind it.
  const asked = messages.find((message) => message.role === "assistant" && (message.metadata?.status === "waiting" || (message === last && waitsIn(message))));
  const current = (busy && view.target && messages.find((message) => message.id === view.target)) || (!busy && asked) || last;
  const answer = current?.role === "assistant" ? current : undefined;
  const waits = !!answer?.metadata?.run_id && ((!busy && answer.metadata.status === "waiting") || waitsIn(answer));
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const { following, toEnd, missed } = useFollowing(scroller, messages.length, last);

  useEffect(() => {
    chatCommands.stop = () => void thread.stop();
    chatCommands.thread = thread;
    return () => {
      chatCommands.stop = null;
      chatCommands.thread = null;
    };
  }, [thread]);

  const actions = useMemo(
    () => ({
      edit: (id: string, text: string) => void thread.edit(id, text),
      regenerate: (id: string) => void thread.regenerate(id),
      choose: (id: string) => {
        setQuery({ branch: id });
        thread.choose(id);
      },
      inspect: (run: string) => setQuery({ panel: "events", run }),
    }),
    [thread],
  );
  const send = useCallback(
    (text: string, how: "enqueue" | "steer") => {
      setQuery({ branch: null });
      following.current = true;
      void thread.send(text, how);
    },
    [thread],
  );

  if (view.state === "missing") return <Missing />;
  return (
    <>
      <div className="scroller" ref={scroller} tabIndex={-1}>
        <div className="column">
          {view.state === "loading" && <Skeleton />}
          {view.state === "away" && <p className="notice">The server cannot be reached. This chat is safe there, and opens as soon as it answers.</p>}
          <Virtualizer ref={list} scrollRef={scroller} bufferSize={800}>
            {messages.map((message) => (
              <MessageView
                key={message.id}
                message={message}
                growing={busy && message === answer}
                busy={busy}
                versions={view.tree.versions(message.id).map((version) => version.id)}
                actions={actions}
              />
            ))}
          </Virtualizer>
          {waits && <WaitingForm key={answer.metadata!.run_id} run={answer.metadata!.run_id!} onResumed={() => void thread.open()} onAnswer={(verb, body) => thread.answer(answer.metadata!.run_id!, verb, body)} />}
          {view.refused && (
            <div className="failure" role="alert">
              <Icon name="alert" />
              <div>
                <strong>Not sent.</strong> {view.refused.message}
                <p>
                  What you wrote is back below. {view.refused.code && <code>{view.refused.code}</code>}
                </p>
              </div>
              <button type="button" className="icon" aria-label="Dismiss" onClick={() => thread.dismiss()}>
                <Icon name="close" />
              </button>
            </div>
          )}
          <div className="end" />
        </div>
      </div>
      <div className="dock">
        {missed > 0 && (
          <button type="button" className="pill" onClick={toEnd}>
            <Icon name="down" size={14} /> {missed === 1 ? "New text below" : `${missed} new below`}
          </button>
        )}
        <div className="column">
          <StatusLine message={current} status={status} view={view} lost={lost && busy}>
            {busy && !waits && answer?.metadata?.run_id && offers.has("POST /v1/demo/runs/{run_id}/kill") && <KillButton run={answer.metadata.run_id} />}
          </StatusLine>
          <Announcer message={current} busy={busy} />
          <Composer of={thread.id} busy={busy} stopping={view.stopping} onSend={send} onStop={() => void thread.stop()} />
        </div>
      </div>
    </>
  );
}

/** Keeps the end in view while text comes. One tick of the wheel upwards stops that; the end, or the pill, begins it again. */
function useFollowing(scroller: React.RefObject<HTMLDivElement | null>, length: number, last: { role: string; id: string } | undefined) {
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const [seen, setSeen] = useState(length);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const leave = () => {
      following.current = false;
      setAway(true);
    };
    const onWheel = (event: WheelEvent) => event.deltaY < 0 && element.scrollHeight > element.clientHeight && leave();
    let touched = 0;
    const onTouchStart = (event: TouchEvent) => void (touched = event.touches[0]?.clientY ?? 0);
    const onTouchMove = (event: TouchEvent) => (event.touches[0]?.clientY ?? 0) > touched + 4 && leave();
    const onKey = (event: KeyboardEvent) => ["PageUp", "ArrowUp", "Home"].includes(event.key) && leave();
    const onScroll = () => {
      if (element.scrollHeight - element.scrollTop - element.clientHeight < 24) {
        following.current = true;
        setAway(false);
      }
    };
    const grown = new ResizeObserver(() => {
      if (following.current) element.scrollTop = element.scrollHeight;
    });
    grown.observe(element);
    for (const child of element.children) grown.observe(child);
    element.addEventListener("wheel", onWheel, { passive: true });
    element.addEventListener("touchstart", onTouchStart, { passive: true });
    element.addEventListener("touchmove", onTouchMove, { passive: true });
    element.addEventListener("keydown", onKey);
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      grown.disconnect();
      element.removeEventListener("wheel", onWheel);
      element.removeEventListener("touchstart", onTouchStart);
      element.removeEventListener("touchmove", onTouchMove);
      element.removeEventListener("keydown", onKey);
      element.removeEventListener("scroll", onScroll);
    };
  }, [scroller]);
  useEffect(() => {
    if (following.current) setSeen(length);
    if (last?.role === "user" && following.current) {
      const element = scroller.current;
      if (element) element.scrollTop = element.scrollHeight;
    }
  }, [length, last?.id]);
  const toEnd = () => {
    following.current = true;
    setAway(false);
    setSeen(length);
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  return { following, toEnd, missed: away ? Math.max(1, length - seen) : 0 };
}

function Skeleton() {
  return (
    <div className="skeleton" aria-label="Loading">
      <i />
      <i />
      <i />
    </div>
  );
}

function Missing() {
  return (
    <div className="empty">
      <h1>There is no such chat</h1>
      <p>It was deleted, or it belongs to somebody else. If somebody sent you this address, ask for an invitation.</p>
      <button type="button" className="primary" onClick={() => openThread(null)}>
        New chat
      </button>
    </div>
  );
}
