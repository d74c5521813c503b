import { useChat } from "@ai-sdk/react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useConnection } from "../lib/connection";
import { Icon } from "../lib/icons";
import { moment } from "../lib/moments";
import { reads } from "../lib/people";
import { openThread, setQuery } from "../lib/router";
import { useSession } from "../lib/session";
import { useStore } from "../lib/store";
import { say } from "../lib/toast";
import { openFor } from "../dialogs/dialogs";
import { Typing } from "../threads/presence";
import { gone, useThread } from "../threads/threads";
import { chatCommands } from "./commands";
import { Composer } from "./composer";
import { KillButton } from "./kill";
import { MessageView } from "./message";
import { waitsIn } from "./messages";
import { Announcer, StatusLine } from "./status";
import { type Later, ThreadChat } from "./thread-chat";
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
  const readOnly = reads(useThread(thread.id)?.role);
  const last = messages.at(-1);
  const busy = status === "submitted" || status === "streaming";
  // The answer that is looked after: being written, or waiting for somebody. Others may be queued behind it.
  const asked = messages.find((message) => message.role === "assistant" && (message.metadata?.status === "waiting" || (message === last && waitsIn(message))));
  const current = (busy && view.target && messages.find((message) => message.id === view.target)) || (!busy && asked) || last;
  const answer = current?.role === "assistant" ? current : undefined;
  const waits = !!answer?.metadata?.run_id && ((!busy && answer.metadata.status === "waiting") || waitsIn(answer));
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const prepended = usePrepended(messages);
  const { following, toEnd, missed } = useFollowing(scroller, messages.length, last);

  useEffect(() => {
    chatCommands.stop = readOnly ? null : () => void thread.stop();
    chatCommands.thread = thread;
    return () => {
      chatCommands.stop = null;
      chatCommands.thread = null;
    };
  }, [thread, readOnly]);

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
  if (view.state === "gone") return <Gone thread={thread.id} />;
  return (
    <>
      <div className="scroller" ref={scroller} tabIndex={-1}>
        <div className="column">
          {view.state === "loading" && <Skeleton />}
          {view.state === "away" && <p className="notice">The server cannot be reached. This chat is safe there, and opens as soon as it answers.</p>}
          <Virtualizer ref={list} scrollRef={scroller} bufferSize={800} shift={prepended}>
            {messages.map((message) => (
              <MessageView
                key={message.id}
                message={message}
                growing={busy && message === answer}
                busy={busy}
                readOnly={readOnly}
                versions={view.tree.versions(message.id).map((version) => version.id)}
                actions={actions}
              />
            ))}
          </Virtualizer>
          {waits && readOnly && <p className="card waiting">The answer waits for somebody who may write here.</p>}
          {waits && !readOnly && <WaitingForm key={answer.metadata!.run_id} run={answer.metadata!.run_id!} onResumed={() => void thread.open()} onAnswer={(verb, body) => thread.answer(answer.metadata!.run_id!, verb, body)} />}
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
            {busy && !waits && !readOnly && answer?.metadata?.run_id && offers.has("POST /v1/demo/runs/{run_id}/kill") && <KillButton run={answer.metadata.run_id} />}
          </StatusLine>
          <Announcer message={current} busy={busy} />
          <Typing thread={thread.id} />
          <ForLater items={view.later} thread={thread} readOnly={readOnly} />
          {readOnly ? (
            <p className="composer reading">
              <Icon name="people" /> You may read this chat and watch its answers. To write in it, ask its owner to make you an editor.
            </p>
          ) : (
            <Composer
              of={thread.id}
              busy={busy}
              stopping={view.stopping}
              onSend={send}
              onStop={() => void thread.stop()}
              onLater={(text, at) => thread.sendLater(text, at)}
              onRepeat={offers.has("POST /v1/threads/{thread_id}/schedules") ? () => openFor(thread.id, "schedules") : undefined}
            />
          )}
        </div>
      </div>
    </>
  );
}

/** Whether older messages came before those that were there: what is seen stays where it is. */
function usePrepended(messages: readonly { id: string }[]): boolean {
  const first = useRef(messages[0]?.id);
  const before = first.current;
  useEffect(() => void (first.current = messages[0]?.id));
  return before !== undefined && messages[0]?.id !== before && messages.some((message) => message.id === before);
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

/** What is sent later, until then. */
function ForLater({ items, thread, readOnly }: { items: readonly Later[]; thread: ThreadChat; readOnly: boolean }) {
  if (!items.length) return null;
  return (
    <ul className="queued" aria-label="Sent later">
      {items.map((item) => (
        <li key={item.run}>
          <Icon name="calendar" size={14} />
          <strong>{moment(item.at)}</strong>
          <span dir="auto">{item.text}</span>
          {!readOnly && (
            <button type="button" className="icon" aria-label={`Do not send “${item.text.slice(0, 40)}”`} title="Do not send it" onClick={() => thread.takeBack(item.run).catch((error: Error) => say(error.message))}>
              <Icon name="close" size={14} />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

const WHY_GONE = {
  removed: ["You are no longer in this chat", "Its owner took you out. What you wrote stays there for those who are in it; an answer that you asked for is still finished for them."],
  left: ["You have left this chat", "What you wrote stays there for those who are in it. An invitation brings you back."],
  deleted: ["This chat was deleted", "It is gone for everybody who was in it, with all its messages."],
  unknown: ["This chat can no longer be seen", "It was deleted, or you are no longer in it. If you should be, ask its owner for an invitation."],
} as const;

/** It was on this screen, and may not be any more. */
function Gone({ thread }: { thread: string }) {
  const [title, text] = WHY_GONE[useStore(gone)[thread] ?? "unknown"];
  return (
    <div className="empty" role="alert">
      <h2>{title}</h2>
      <p>{text}</p>
      <button type="button" className="primary" onClick={() => openThread(null)}>
        New chat
      </button>
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
