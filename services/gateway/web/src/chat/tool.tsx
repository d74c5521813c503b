import type { DynamicToolUIPart, ToolUIPart } from "ai";
import { memo } from "react";
import { duration } from "../lib/format";
import { Icon } from "../lib/icons";

type ToolPart = ToolUIPart | DynamicToolUIPart;

const STATES: Record<string, string> = {
  "input-streaming": "preparing",
  "input-available": "running",
  "approval-requested": "needs your approval",
  "approval-responded": "answered",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};

/** Of a call that is open when the run is over, by how that ended. */
const LEFT: Record<string, string> = { complete: "left to the client", cancelled: "stopped" };

interface Props {
  part: ToolPart;
  name: string;
  times?: { started_at?: string; ended_at?: string };
  /** How the run ended: what it has not called by then is called by nobody here. Empty while it goes on. */
  end: string;
}

/** A tool call with its state, what went in and what came out. */
export const Tool = memo(function Tool({ part, name, times, end }: Props) {
  const open = part.state === "input-streaming" || part.state === "input-available";
  const running = open && !end;
  const took = times?.started_at && times.ended_at ? Date.parse(times.ended_at) - Date.parse(times.started_at) : null;
  return (
    <details className={`fold tool ${part.state}`} data-tool={name}>
      <summary>
        <Icon name={part.state === "output-error" ? "alert" : "tool"} size={14} />
        <code>{name}</code>
        <span className="state">
          {running && <span className="dot running" aria-hidden="true" />}
          {open && end ? (LEFT[end] ?? "not finished") : (STATES[part.state] ?? part.state)}
          {took !== null && ` in ${duration(took)}`}
        </span>
      </summary>
      {part.input !== undefined && <Value title="Input" value={part.input} />}
      {part.state === "output-available" && <Value title="Output" value={part.output} />}
      {part.state === "output-error" && <Value title="Error" value={part.errorText} />}
    </details>
  );
});

function Value({ title, value }: { title: string; value: unknown }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return (
    <>
      <p className="label">{title}</p>
      <pre tabIndex={0}>{(text ?? "").slice(0, 20_000)}</pre>
    </>
  );
}
