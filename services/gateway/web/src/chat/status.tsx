import { isToolUIPart } from "ai";
import { useEffect, useRef, useState } from "react";
import { duration } from "../lib/format";
import { type Message, textOf, waitsIn } from "./messages";
import type { View } from "./thread-chat";

/** What is going on, in words that are true. Screen readers are told when that changes in kind, and no tokens. */
export function StatusLine({ message, status, view, lost, children }: { message: Message | undefined; status: string; view: View; lost: boolean; children?: React.ReactNode }) {
  const answer = message?.role === "assistant" ? message : undefined;
  const busy = status === "submitted" || status === "streaming";
  const waiting = answer?.metadata?.status === "waiting" || waitsIn(answer);
  const now = useNow(busy);
  const speed = useSpeed(answer ? lengthOf(answer) : 0, busy);
  const began = useRef({ of: "", at: 0 });
  const thinking = answer ? !textOf(answer) : true;
  const key = `${answer?.id ?? ""}:${thinking}`;
  if (began.current.of !== key) began.current = { of: key, at: performance.now() };
  const kind = !busy && !waiting ? "" : view.unsent ? "unsent" : lost ? "lost" : view.stopping ? "stopping" : waiting ? "waiting" : kindOf(answer, status);
  if (!kind) return null;
  const waited = duration(Math.max(0, now - (view.sentAt || now)));
  const attempt = answer?.metadata?.attempt ?? 1;
  const words: Record<string, string> = {
    lost: "Connection lost. The answer goes on without you; this joins it again by itself.",
    unsent: "Not sent yet: nobody can be reached. It is sent as soon as somebody can.",
    stopping: "Stopping…",
    waiting: "Waiting for you",
    queued: view.sentAt ? `Queued · ${waited}` : "Queued",
    starting: "Starting",
    thinking: `Thinking · ${duration(performance.now() - began.current.at)}`,
    tool: `Using ${toolOf(answer)}`,
    writing: speed > 0 ? `Writing · about ${speed} tokens/s` : "Writing",
  };
  return (
    <p className={`status ${kind}`} data-kind={kind}>
      <span className={`dot ${kind === "waiting" || kind === "unsent" || kind === "lost" ? "waiting" : "running"}`} aria-hidden="true" />
      <span>{words[kind]}</span>
      {attempt > 1 && <span className="takeover">worker lost, continued, nothing lost</span>}
      {children}
    </p>
  );
}

function kindOf(answer: Message | undefined, status: string): string {
  if (!answer || status === "submitted") return "queued";
  const last = answer.parts.at(-1);
  if (!last || last.type === "step-start") return answer.parts.length > 1 ? "thinking" : "starting";
  if (isToolUIPart(last) && (last.state === "input-available" || last.state === "input-streaming")) return "tool";
  if (last.type === "text" && last.text) return "writing";
  return "thinking";
}

const toolOf = (answer: Message | undefined): string => {
  const last = answer?.parts.at(-1);
  return last && isToolUIPart(last) ? (last.type === "dynamic-tool" ? last.toolName : last.type.slice(5)) : "a tool";
};

const lengthOf = (message: Message): number =>
  message.parts.reduce((sum, part) => sum + (part.type === "text" || part.type === "reasoning" ? part.text.length : 0), 0);

function useNow(on: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [on]);
  return Math.max(now, 0);
}

/** Tokens a second over the last two seconds, at four letters a token. */
function useSpeed(length: number, on: boolean): number {
  const seen = useRef<Array<[number, number]>>([]);
  if (!on) {
    seen.current = [];
    return 0;
  }
  const now = performance.now();
  const list = seen.current;
  if (!list.length || list.at(-1)![1] !== length) list.push([now, length]);
  while (list.length > 2 && now - list[0]![0] > 2000) list.shift();
  const [first, last] = [list[0]!, list.at(-1)!];
  const seconds = (now - first[0]) / 1000;
  return seconds < 0.5 ? 0 : Math.round((last[1] - first[1]) / 4 / seconds);
}

/** Says aloud that an answer began, needs something, or ended. */
export function Announcer({ message, busy }: { message: Message | undefined; busy: boolean }) {
  const [said, setSaid] = useState("");
  const was = useRef({ busy: false, waiting: false });
  const answer = message?.role === "assistant" ? message : undefined;
  const waiting = answer?.metadata?.status === "waiting" || waitsIn(answer);
  const started = busy && !!answer && !!textOf(answer);
  useEffect(() => {
    if (waiting && !was.current.waiting) setSaid("Needs your answer");
    else if (started && !was.current.busy) setSaid("Answer started");
    else if (!busy && was.current.busy && answer) {
      const words = textOf(answer).split(/\s+/).filter(Boolean).length;
      const how = answer.metadata?.status === "error" ? "failed" : answer.metadata?.status === "cancelled" ? "stopped" : "complete";
      setSaid(`Answer ${how}, ${words} words`);
    }
    was.current = { busy: started || (busy && was.current.busy), waiting };
  }, [started, busy, waiting, answer]);
  return (
    <p className="unseen" role="status" aria-live="polite">
      {said}
    </p>
  );
}
