import { memo, useEffect, useRef, useState } from "react";
import { count } from "../lib/format";
import { follow } from "../lib/sse";

export interface RunEvent {
  type: string;
  sequence: number;
  attempt: number;
  at: string;
  [field: string]: unknown;
}

interface Row {
  event: RunEvent;
  cursor: string;
  /** Milliseconds from when it was stored to when it was here, by both clocks; null for what was read later. */
  delay: number | null;
}

const SHOWN = 400;

/** The run's events as they come, with their sequence, delay and cursor. */
export function Events({ run }: { run: string }) {
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [total, setTotal] = useState(0);
  const [open, setOpen] = useState(true);
  const pending = useRef<Row[]>([]);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const gone = new AbortController();
    const began = Date.now();
    let frame = 0;
    const flush = () => {
      frame = 0;
      const fresh = pending.current;
      pending.current = [];
      setTotal((n) => n + fresh.length);
      setRows((before) => [...before, ...fresh].slice(-SHOWN));
    };
    void follow(`/v1/runs/${run}/events`, {
      cursor: "0-0", // Without a cursor a long answer that has ended comes whole, in few events.
      signal: gone.signal,
      onState: (now) => setOpen(now),
      onFrame: ({ data, id }) => {
        const event = JSON.parse(data) as RunEvent;
        const at = Date.parse(event.at);
        pending.current.push({ event, cursor: id, delay: at >= began - 50 ? Math.max(0, Date.now() - at) : null });
        frame ||= requestAnimationFrame(flush);
      },
    });
    return () => {
      gone.abort();
      cancelAnimationFrame(frame);
    };
  }, [run]);
  useEffect(() => {
    end.current?.scrollIntoView({ block: "nearest" });
  }, [rows]);
  const last = rows.at(-1);
  const delays = rows.map((row) => row.delay).filter((delay): delay is number => delay !== null);
  const median = delays.length ? [...delays].sort((a, b) => a - b)[Math.floor(delays.length / 2)] : null;
  return (
    <>
      <p className="summary">
        <span>{count(total)} events</span>
        {last && <span>attempt {last.event.attempt}</span>}
        {median !== null && <span>{median} ms median delay</span>}
        {last && (
          <span>
            cursor <code>{last.cursor}</code>
          </span>
        )}
        {!open && <span className="bad">connection lost, going on from the cursor</span>}
      </p>
      <div className="events" role="log" aria-live="off" tabIndex={0} aria-label="Events">
        <table>
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">Type</th>
              <th scope="col">What</th>
              <th scope="col">ms</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <EventRow key={row.event.sequence} row={row} />
            ))}
          </tbody>
        </table>
        <div ref={end} />
      </div>
    </>
  );
}

const EventRow = memo(function EventRow({ row }: { row: Row }) {
  const { event } = row;
  return (
    <tr data-type={event.type} title={JSON.stringify(event)}>
      <td>{event.sequence}</td>
      <td>
        <code>{event.type}</code>
      </td>
      <td className="what">{summary(event)}</td>
      <td>{row.delay ?? ""}</td>
    </tr>
  );
});

export function summary(event: RunEvent): string {
  const text = (name: string) => String(event[name] ?? "");
  switch (event.type) {
    case "text.delta":
    case "reasoning.delta":
      return text("delta").replaceAll("\n", "⏎");
    case "attempt.started":
      return `attempt ${event.attempt}, ${text("worker")}`;
    case "step.started":
      return `step ${text("step")}: ${text("kind")} ${text("name")}`;
    case "step.finished":
      return `step ${text("step")} ${text("finish_reason")}`;
    case "text.retracted":
      return `${event.agent ? `what ${text("agent")} wrote` : "everything"} from ${text("from_sequence")} on is taken back`;
    case "tool.call":
    case "tool.progress":
    case "tool.result":
      return `${text("name")} ${text("state")} ${JSON.stringify(event.input ?? event.output ?? event.error ?? "")}`;
    case "usage": {
      const usage = event.usage as { input_tokens?: number; output_tokens?: number };
      return `${usage?.input_tokens ?? 0} in, ${usage?.output_tokens ?? 0} out`;
    }
    case "run.waiting":
      return `${text("reason")} ${text("prompt")}`;
    case "run.failed":
      return `${text("code")}: ${text("message")}`;
    case "run.started":
      return `${text("model")}, ${text("path")}`;
    default:
      return "";
  }
}
