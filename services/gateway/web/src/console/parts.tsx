/** Small parts that several views of the console are made of. */
import { useEffect, useId, useRef, useState, type MouseEvent, type ReactNode } from "react";
import { Icon } from "../lib/icons";
import { go } from "../lib/router";
import type { Loaded } from "./load";

/** A link within the console: the address changes, the page stays. */
export function Link({ to, children, ...more }: { to: string; children: ReactNode; className?: string; title?: string; "aria-current"?: "page" | undefined }) {
  const onClick = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} onClick={onClick} {...more}>
      {children}
    </a>
  );
}

/** A view's head, what went wrong with it, and its body once there is something to show. */
export function View<T>({ title, loaded, tools, children }: { title: string; loaded: Loaded<T>; tools?: ReactNode; children: (data: T) => ReactNode }) {
  const { data, error, again } = loaded;
  return (
    <>
      <header className="view-head">
        <h1 tabIndex={-1}>{title}</h1>
        {tools}
        <button type="button" className="icon" aria-label="Read again" title="Read again" onClick={again}>
          <Icon name="again" />
        </button>
      </header>
      {error && <Failure what={data === null ? "This could not be read." : "This is what was read last; reading it again failed."} why={error.message} code={error.code} trace={error.traceId} />}
      {data !== null ? children(data) : !error && <p className="hint">Reading…</p>}
    </>
  );
}

export function Failure({ what, why, code, trace }: { what: string; why: string; code?: string; trace?: string }) {
  return (
    <div className="failure" role="alert">
      <Icon name="alert" />
      <div>
        <p>
          {what} {why}
        </p>
        {(code || trace) && (
          <p className="codes">
            <small>
              {code && <code>{code}</code>} {trace && <code>{trace}</code>}
            </small>
          </p>
        )}
      </div>
    </div>
  );
}

export function Warning({ children }: { children: ReactNode }) {
  return (
    <p className="warning" role="status">
      <Icon name="alert" /> <span>{children}</span>
    </p>
  );
}

/** A table that scrolls sideways by itself where the screen is narrow. */
export function Table({ label, head, children, empty }: { label: string; head: ReactNode; children: ReactNode; empty?: string | false | undefined }) {
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label={label}>
      <table className="grid" aria-label={label}>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
      {empty && <p className="hint">{empty}</p>}
    </div>
  );
}

export function Facts({ items }: { items: ReadonlyArray<readonly [string, ReactNode]> }) {
  return (
    <dl className="figures-row">
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export const STATES: Record<string, string> = { pending: "waiting", generating: "running", waiting: "waiting", complete: "done", error: "failed", cancelled: "" };

export function State({ status }: { status: string }) {
  return (
    <span className="state">
      <span className={`dot ${STATES[status] ?? ""}`} aria-hidden="true" /> {status}
    </span>
  );
}

/** A line of figures over time; gaps where there is none. */
export function Spark({ values, label }: { values: ReadonlyArray<number | null>; label: string }) {
  const known = values.filter((value): value is number => value !== null);
  if (known.length < 2 || !known.some((value) => value > 0)) return null;
  const most = Math.max(...known, 1e-9);
  let pen = "M";
  const path = values.map((value, i) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const step = `${pen}${((i / (values.length - 1)) * 120).toFixed(1)} ${(23 - (value / most) * 21).toFixed(1)}`;
    pen = "L";
    return step;
  });
  return (
    <svg className="spark" viewBox="0 0 120 24" role="img" aria-label={label}>
      <path d={path.join("")} fill="none" stroke="currentColor" strokeWidth="1.5" />
    </svg>
  );
}

/** A bar as part of a whole. */
export function Meter({ value, most, label }: { value: number; most: number; label: string }) {
  return <progress max={Math.max(most, 1)} value={Math.min(value, most)} aria-label={label} />;
}

export interface Question {
  title: string;
  text: ReactNode;
  /** The button that does it. */
  action: string;
  danger?: boolean;
  /** Whether a reason has to be given. */
  reason?: boolean;
  run: (why: string) => Promise<void>;
}

/** Asks before something is done; stays open with the reason where that fails. */
export function Ask({ question, onClose }: { question: Question; onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog || dialog.open) return;
    setWhy("");
    setError("");
    dialog.showModal();
  }, [question]);
  return (
    // Told of its end a moment after it: by then the next question may stand there.
    <dialog ref={ref} className="ask" aria-labelledby={id} onClose={() => ref.current?.open || onClose()}>
      <form
        onSubmit={async (event) => {
          event.preventDefault();
          setBusy(true);
          setError("");
          try {
            await question.run(why.trim());
            ref.current?.close();
          } catch (problem) {
            setError((problem as Error).message);
          } finally {
            setBusy(false);
          }
        }}
      >
        <h2 id={id}>{question.title}</h2>
        <div>{question.text}</div>
        {question.reason && (
          <label>
            Why
            <input autoFocus required maxLength={500} value={why} onChange={(event) => setWhy(event.target.value)} />
          </label>
        )}
        {error && (
          <p className="failure" role="alert">
            {error}
          </p>
        )}
        <div className="row end">
          <button type="button" onClick={() => ref.current?.close()}>
            Leave it
          </button>
          <button type="submit" className={question.danger ? "danger-fill" : "primary"} disabled={busy || (question.reason && !why.trim())}>
            {question.action}
          </button>
        </div>
      </form>
    </dialog>
  );
}

export const percent = (value: number | null): string => (value === null ? "–" : `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`);
export const or = (value: string | null | undefined): string => value || "–";

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = 0;
  while (value >= 1024 && n < units.length - 1) {
    value /= 1024;
    n++;
  }
  return `${n && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[n]}`;
}

/** Today's time, or date and time; in full as the title. */
export function When({ at }: { at: string | null | undefined }) {
  if (!at) return <>–</>;
  const date = new Date(at);
  // The beginning of time stands for "never".
  if (date.getTime() <= 0) return <>–</>;
  const today = date.toDateString() === new Date().toDateString();
  return (
    <time dateTime={at} title={at}>
      {today ? date.toLocaleTimeString(undefined, { hour12: false }) : date.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false })}
    </time>
  );
}
