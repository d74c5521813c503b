import { getToolName, isToolUIPart } from "ai";
import { memo, useRef, useState } from "react";
import { CopyButton } from "../lib/copy";
import { count, dollars, modelName } from "../lib/format";
import { isStoredMessage } from "../lib/ids";
import { Icon } from "../lib/icons";
import { nameOf } from "../lib/people";
import { session } from "../lib/session";
import { useSmooth } from "../lib/smooth";
import { Face } from "../threads/presence";
import { Markdown } from "./markdown";
import { type Message, type Part, RUNNING, textOf } from "./messages";
import { Sources } from "./sources";
import { Tool } from "./tool";

export interface MessageActions {
  edit: (id: string, text: string) => void;
  regenerate: (id: string) => void;
  choose: (id: string) => void;
  inspect: (run: string) => void;
}

interface Props {
  message: Message;
  /** It is the one that is being written. */
  growing: boolean;
  busy: boolean;
  /** The caller may read here and nothing else. */
  readOnly: boolean;
  /** The ids of its versions, itself included. */
  versions: readonly string[];
  actions: MessageActions;
}

export const MessageView = memo(
  function MessageView({ message, growing, busy, readOnly, versions, actions }: Props) {
    const [editing, setEditing] = useState(false);
    const cancelled = useRef(false);
    const mine = message.role === "user";
    const { author } = message.metadata ?? {};
    const other = mine && author && author !== session.get().userId ? author : "";
    if (mine && editing) {
      return (
        <article className="message user editing" aria-label="Your message, being edited">
          <Editor
            text={textOf(message)}
            onCancel={() => {
              cancelled.current = true;
              setEditing(false);
            }}
            onSend={(text) => {
              setEditing(false);
              actions.edit(message.id, text);
              document.getElementById("composer")?.focus();
            }}
          />
        </article>
      );
    }
    return (
      <article className={`message ${message.role}`} data-message={message.id} data-status={message.metadata?.status ?? (growing ? "generating" : "")} aria-label={other ? `Message of ${nameOf(other)}` : mine ? "Your message" : "Answer"} aria-busy={growing || undefined}>
        {other && (
          <p className="by" title={other}>
            <Face id={other} /> {nameOf(other)}
          </p>
        )}
        <div className="body">
          {mine ? <p className="plain" dir="auto">{textOf(message)}</p> : <Answer message={message} growing={growing} />}
        </div>
        {!growing && <Failure message={message} />}
        {!growing && (
          <footer className="actions">
            {versions.length > 1 && <Pager id={message.id} versions={versions} onChoose={actions.choose} disabled={busy} />}
            <CopyButton text={() => textOf(message)} label="Copy text" />
            {mine && !readOnly && isStoredMessage(message.id) && (
              <button type="button" className="icon" title="Edit and send again, as another branch" aria-label="Edit" disabled={busy} onClick={() => setEditing(true)} ref={(button) => {
                  // Back to where the keyboard was before the editing.
                  if (button && cancelled.current) button.focus();
                  if (button) cancelled.current = false;
                }}>
                <Icon name="edit" />
              </button>
            )}
            {!mine && !readOnly && (
              <button type="button" className="icon" title="Another answer to the same question, as another branch" aria-label="Answer again" disabled={busy} onClick={() => actions.regenerate(message.id)}>
                <Icon name="again" />
              </button>
            )}
            {!mine && message.metadata?.run_id && (
              <button type="button" className="icon" title="Show this run in the developer panel" aria-label="Inspect the run" onClick={() => actions.inspect(message.metadata!.run_id!)}>
                <Icon name="code" />
              </button>
            )}
            {!mine && <Figures message={message} />}
          </footer>
        )}
      </article>
    );
  },
  (a, b) =>
    a.message === b.message && a.growing === b.growing && a.busy === b.busy && a.readOnly === b.readOnly && a.actions === b.actions && a.versions.join() === b.versions.join(),
);

function Answer({ message, growing }: { message: Message; growing: boolean }) {
  const last = message.parts.findLastIndex((part) => part.type === "text" || part.type === "reasoning");
  if (!growing && message.metadata?.status === "pending") return <p className="status queued">Queued: answered after what is before it</p>;
  const sources = message.parts.filter((part) => part.type === "source-url" || part.type === "source-document");
  return (
    <>
      {message.parts.map((part, index) => (
        <PartView key={index} part={part} growing={growing && index === last} message={message} />
      ))}
      {sources.length > 0 && <Sources sources={sources} />}
    </>
  );
}

function PartView({ part, growing, message }: { part: Part; growing: boolean; message: Message }) {
  if (part.type === "text") return <Text part={part} growing={growing && part.state !== "done"} />;
  if (part.type === "reasoning") return <Reasoning text={part.text} growing={growing && part.state !== "done"} />;
  if (isToolUIPart(part)) {
    const { status = "", times } = message.metadata ?? {};
    return <Tool part={part} name={getToolName(part)} times={times?.[part.toolCallId]} end={RUNNING.has(status) ? "" : status} />;
  }
  return null;
}

function Text({ part, growing }: { part: Extract<Part, { type: "text" }>; growing: boolean }) {
  const text = useSmooth(part.text, growing);
  const agent = agentOf(part.providerMetadata);
  return (
    <>
      {agent && <p className="agent">{agent}</p>}
      <Markdown text={text} growing={growing} />
    </>
  );
}

function agentOf(metadata: unknown): string {
  const own = (metadata as Record<string, Record<string, unknown>> | undefined)?.everthread;
  return typeof own?.agent === "string" ? own.agent : "";
}

function Reasoning({ text, growing }: { text: string; growing: boolean }) {
  if (!text) return null;
  return (
    <details className="fold reasoning">
      <summary>{growing ? "Thinking…" : "Thought about it"}</summary>
      <Markdown text={text} growing={growing} />
    </details>
  );
}

function Pager({ id, versions, onChoose, disabled }: { id: string; versions: readonly string[]; onChoose: (id: string) => void; disabled: boolean }) {
  const at = versions.indexOf(id);
  return (
    <span className="pager" role="group" aria-label="Versions">
      <button type="button" className="icon" aria-label="Version before" disabled={disabled || at <= 0} onClick={() => onChoose(versions[at - 1]!)}>
        <Icon name="left" />
      </button>
      <span aria-live="polite">
        {at + 1} / {versions.length}
      </span>
      <button type="button" className="icon" aria-label="Next version" disabled={disabled || at >= versions.length - 1} onClick={() => onChoose(versions[at + 1]!)}>
        <Icon name="right" />
      </button>
    </span>
  );
}

function Figures({ message }: { message: Message }) {
  const { usage, cost_microusd: cost, model, attempt, status, path, cancelled_by: by } = message.metadata ?? {};
  const parts = [
    status === "cancelled" ? `Stopped${by && by !== session.get().userId ? ` by ${nameOf(by)}` : ""}` : "",
    model ? modelName(model) : "",
    usage ? `${usage.estimated ? "about " : ""}${count(usage.output_tokens)} tokens` : "",
    dollars(cost) ?? "",
    attempt && attempt > 1 ? `${attempt} attempts` : "",
  ].filter(Boolean);
  if (!parts.length) return null;
  const detail = usage
    ? [
        `${count(usage.input_tokens)} tokens in (${count(usage.cached_tokens)} cached)`,
        `${count(usage.output_tokens)} out (${count(usage.reasoning_tokens)} of thinking)`,
        "all attempts together",
        path ?? "",
      ]
        .filter(Boolean)
        .join(", ")
    : undefined;
  return (
    <small className="figures" title={detail}>
      {parts.join(" · ")}
    </small>
  );
}

const ADVICE: Record<string, string> = {
  rate_limited: "The provider takes no more for now. Answer again in a minute, or choose another model.",
  upstream_unavailable: "The provider cannot be reached. Answer again later, or choose another model.",
  upstream_rejected: "The provider refused the request. Another model may take it.",
  upstream_incomplete: "The provider broke off. Answer again.",
  context_too_long: "The thread is longer than this model can read. Choose a model with a larger window, or begin a new chat.",
  refused: "The model declined. Say it in other words.",
  deadline: "It took longer than is allowed. Answer again.",
  budget_reached: "Your budget is used up. Settings show when it begins anew.",
};

function Failure({ message }: { message: Message }) {
  const error = message.metadata?.error;
  if (message.metadata?.status !== "error" || !error) return null;
  const run = message.metadata.run_id ?? "";
  const some = textOf(message).length > 0;
  return (
    <div className="failure" role="alert">
      <Icon name="alert" />
      <div>
        <strong>The answer failed.</strong> {error.message}
        <p>
          {some ? "What was written stays above. " : "Your question is kept. "}
          {ADVICE[error.code] ?? "Answer again; if it fails once more, the run's id helps whoever runs this."}
        </p>
        <p className="codes">
          <code>{error.code}</code> <code>{run}</code>
          <CopyButton text={`${error.code} ${run}`} label="Copy code and run id" />
        </p>
      </div>
    </div>
  );
}

function Editor({ text, onSend, onCancel }: { text: string; onSend: (text: string) => void; onCancel: () => void }) {
  const [value, setValue] = useState(text);
  const send = () => value.trim() && onSend(value);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        autoFocus
        dir="auto"
        aria-label="Edit your message"
        value={value}
        rows={Math.min(12, value.split("\n").length + 1)}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel();
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) send();
        }}
      />
      <div className="row">
        <small>It becomes another branch; the one before stays.</small>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" className="primary" disabled={!value.trim()}>
          Send
        </button>
      </div>
    </form>
  );
}
