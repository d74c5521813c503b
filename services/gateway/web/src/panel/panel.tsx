/** The developer panel: what the mesh did for the answer on the screen. Loaded when it is opened. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { chatCommands } from "../chat/commands";
import { get, type StoredMessage } from "../lib/api";
import { CopyButton } from "../lib/copy";
import { count, dollars, duration } from "../lib/format";
import { Icon } from "../lib/icons";
import { setQuery, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import { Store, useStore } from "../lib/store";
import { TraceLink } from "../lib/trace";
import { Events } from "./events";
import { Replay } from "./replay";
import { Requests } from "./requests";
import "./panel.css";

const TABS = [
  ["events", "Events"],
  ["run", "Run"],
  ["state", "State"],
  ["replay", "Replay"],
  ["code", "Requests"],
] as const;

const nothing = new Store({ tree: { messages: [] as readonly StoredMessage[] } });

export default function Panel() {
  const { query, thread } = usePlace();
  const tab = query.get("panel") ?? "events";
  const run = useRun(query.get("run"));
  const aside = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const element = aside.current;
    return () => {
      // What had the focus goes away with the panel: back to the button that opened it.
      if (element?.contains(document.activeElement)) document.getElementById("panel-toggle")?.focus();
    };
  }, []);
  const onKeyDown = (event: React.KeyboardEvent) => {
    const names = TABS.map(([name]) => name as string);
    const at = names.indexOf(tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length]!;
    setQuery({ panel: name });
    document.getElementById(`tab-${name}`)?.focus();
  };
  return (
    <aside className="panel" aria-label="Developer panel" ref={aside}>
      <header>
        <div role="tablist" aria-label="Views of the run" onKeyDown={onKeyDown}>
          {TABS.map(([name, label]) => (
            <button
              type="button"
              role="tab"
              key={name}
              id={`tab-${name}`}
              aria-selected={tab === name}
              aria-controls="panel-body"
              tabIndex={tab === name ? 0 : -1}
              onClick={() => setQuery({ panel: name })}
            >
              {label}
            </button>
          ))}
        </div>
        <button type="button" className="icon" aria-label="Close the panel" onClick={() => setQuery({ panel: null, run: null })}>
          <Icon name="close" />
        </button>
      </header>
      <div className="panel-body" id="panel-body" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {!run && tab !== "code" && <p className="hint">Send a message: what happens to it is shown here, event by event.</p>}
        {run && tab === "events" && <Events key={run} run={run} />}
        {run && tab === "run" && <Run key={run} run={run} />}
        {run && tab === "state" && <State key={run} run={run} />}
        {run && tab === "replay" && <Replay key={run} run={run} />}
        {tab === "code" && <Requests thread={thread} run={run} />}
      </div>
    </aside>
  );
}

/** The run that is looked at: the one in the address, else the newest of the thread. */
function useRun(chosen: string | null): string | null {
  const [now, setNow] = useState("");
  const thread = chatCommands.thread;
  useStore((thread?.view ?? nothing) as Store<unknown>);
  useEffect(() => {
    const timer = setInterval(() => setNow(chatCommands.thread?.chat.messages.findLast((message) => message.metadata?.run_id)?.metadata?.run_id ?? ""), 250);
    return () => clearInterval(timer);
  }, []);
  return chosen ?? (now || null);
}

interface RunInfo {
  id: string;
  model: string;
  path: string;
  status: string;
  attempts: number;
  sequence: number;
  usage: { input_tokens: number; output_tokens: number } | null;
  cost_microusd: number | null;
  error: { code: string; message: string } | null;
  created_at: string;
  ended_at: string | null;
}

interface Timeline {
  phases: Array<{ name: string; offset_ms: number; took_ms: number }>;
  attempts: Array<{ attempt: number; worker: string; started_at: string; ended_at: string | null; trace_id?: string | null }>;
  retractions: number;
}

function Run({ run }: { run: string }) {
  const [info, setInfo] = useState<RunInfo | null>(null);
  const [timeline, setTimeline] = useState<Timeline | null>(null);
  const [again, setAgain] = useState(0);
  useEffect(() => {
    let gone = false;
    let timer = 0;
    const load = async () => {
      const found = await get<RunInfo>(`/v1/runs/${run}`).catch(() => null);
      const line = offers("GET /v1/runs/{run_id}/timeline") ? await get<Timeline>(`/v1/runs/${run}/timeline`).catch(() => null) : null;
      if (gone) return;
      setInfo(found);
      setTimeline(line);
      if (found && !found.ended_at) timer = window.setTimeout(load, 1000);
    };
    void load();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [run, again]);
  if (!info) return <p className="hint">Reading…</p>;
  const longest = Math.max(1, ...(timeline?.phases.map((phase) => phase.offset_ms) ?? [1]));
  return (
    <>
      <dl className="facts">
        <dt>Run</dt>
        <dd>
          <code>{info.id}</code> <CopyButton text={info.id} label="Copy the run's id" />
        </dd>
        <dt>Status</dt>
        <dd>{info.status}</dd>
        <dt>Path</dt>
        <dd>{info.path}</dd>
        <dt>Model</dt>
        <dd>{info.model}</dd>
        <dt>Attempts</dt>
        <dd>{info.attempts}</dd>
        <dt>Events</dt>
        <dd>{count(info.sequence)}</dd>
        {info.usage && (
          <>
            <dt>Tokens</dt>
            <dd>
              {count(info.usage.input_tokens)} in, {count(info.usage.output_tokens)} out {dollars(info.cost_microusd) && `· ${dollars(info.cost_microusd)}`}
            </dd>
          </>
        )}
        {info.error && (
          <>
            <dt>Error</dt>
            <dd>
              <code>{info.error.code}</code> {info.error.message}
            </dd>
          </>
        )}
      </dl>
      <Verify run={run} ended={!!info.ended_at} />
      {timeline && timeline.phases.length > 0 && (
        <section>
          <h2>Where the time went</h2>
          <table className="phases">
            <tbody>
              {timeline.phases.map((phase) => (
                <tr key={phase.name}>
                  <th scope="row">{phase.name.replace("_", " ")}</th>
                  <td>{duration(phase.offset_ms)}</td>
                  <td className="bar">
                    <progress max={longest} value={phase.offset_ms} aria-hidden="true" />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {timeline && timeline.attempts.length > 0 && (
        <section>
          <h2>Workers</h2>
          <ol className="workers">
            {timeline.attempts.map((attempt) => (
              <li key={attempt.attempt}>
                <code>{attempt.worker}</code>
                <small>
                  {new Date(attempt.started_at).toLocaleTimeString()} {attempt.ended_at ? "" : "· at work"}
                </small>
                <TraceLink id={attempt.trace_id}>Trace</TraceLink>
              </li>
            ))}
          </ol>
        </section>
      )}
      <button type="button" onClick={() => setAgain((n) => n + 1)}>
        <Icon name="again" /> Read again
      </button>
    </>
  );
}

interface Verification {
  equal: boolean | null;
  differences: string[];
  reason: string | null;
  sequence: number;
}

function Verify({ run, ended }: { run: string; ended: boolean }) {
  const [found, setFound] = useState<Verification | null>(null);
  useEffect(() => {
    if (!ended) return;
    let gone = false;
    get<Verification>(`/v1/runs/${run}/verify`)
      .then((value) => !gone && setFound(value))
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, [run, ended]);
  if (!ended) return <p className="verdict">The text is compared with what is stored when the run has ended.</p>;
  if (!found) return <p className="verdict">Comparing…</p>;
  if (found.equal) {
    return (
      <p className="verdict good">
        <Icon name="check" /> text = stored, over {count(found.sequence)} events
      </p>
    );
  }
  return (
    <p className={`verdict ${found.equal === false ? "bad" : ""}`}>
      <Icon name="alert" /> {found.equal === false ? `text and store differ: ${found.differences.join(", ")}` : found.reason}
    </p>
  );
}

function State({ run }: { run: string }) {
  const [text, setText] = useState("");
  const [again, setAgain] = useState(0);
  useEffect(() => {
    let gone = false;
    get<unknown>(`/v1/runs/${run}/state`)
      .then((state) => !gone && setText(JSON.stringify(state, null, 2)))
      .catch((error: Error) => !gone && setText(error.message));
    return () => {
      gone = true;
    };
  }, [run, again]);
  const lines = useMemo(() => text.slice(0, 200_000), [text]);
  return (
    <>
      <p className="hint">The fold of the run's log: what every viewer has at its end.</p>
      <pre className="json" tabIndex={0}>
        {lines}
      </pre>
      <button type="button" onClick={() => setAgain((n) => n + 1)}>
        <Icon name="again" /> Read again
      </button>
    </>
  );
}
