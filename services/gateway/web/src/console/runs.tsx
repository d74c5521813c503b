import { useEffect, useState } from "react";
import { post, type Page } from "../lib/api";
import { dollars, duration, modelName } from "../lib/format";
import { setQuery, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import { say } from "../lib/toast";
import type { AnsweredAgain, RunRow, Stopped } from "./api";
import { useLoad, usePages } from "./load";
import { Ask, Link, State, Table, View, When, or, type Question } from "./parts";

const STATUSES = ["pending", "generating", "waiting", "complete", "error", "cancelled"];
const SINCE = [
  ["", "at any time"],
  ["900", "in 15 minutes"],
  ["3600", "in an hour"],
  ["86400", "in a day"],
  ["604800", "in a week"],
] as const;
const LIMIT = 50;
/** How many one call stops at most. */
const MOST = 100;
const open = (run: RunRow) => !run.ended_at;
const failed = (run: RunRow) => run.status === "error" || run.status === "cancelled";
/** "3 told to stop; 1 refused: run_finished." */
const outcome = (what: string, refused: Record<string, string>): string => {
  const codes = Object.values(refused);
  return `${what}${codes.length ? `; ${codes.length} refused: ${[...new Set(codes)].join(", ")}` : ""}.`;
};

/** The end of a long id tells it apart; the whole one is its title. */
const shortened = (id: string): string => (id.length > 14 ? `…${id.slice(-8)}` : id);

function addressOf(query: URLSearchParams): string {
  const asked = new URLSearchParams({ limit: String(LIMIT) });
  for (const name of ["status", "path", "model", "user", "agent"]) if (query.get(name)) asked.set(name, query.get(name)!);
  const seconds = Number(query.get("since"));
  // To the minute, so that reading again asks the same.
  if (seconds) asked.set("since", new Date(Math.floor(Date.now() / 60_000) * 60_000 - seconds * 1000).toISOString());
  return `/v1/admin/runs?${asked}`;
}

/** Everybody's runs, the newest first; filters are in the address. */
export function Runs() {
  const { query } = usePlace();
  const address = addressOf(query);
  const loaded = useLoad<Page<RunRow>>(address, 3);
  const { items: rows, next, more } = usePages(address, loaded.data);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [question, setQuestion] = useState<Question | null>(null);
  useEffect(() => setChosen(new Set()), [address]);

  return (
    <View title="Runs" loaded={loaded} tools={<Filters query={query} />}>
      {() => {
        const going = rows.filter(open);
        const picked = going.filter((run) => chosen.has(run.id)).slice(0, MOST);
        const stop = () =>
          setQuestion({
            title: picked.length === 1 ? "Stop this run?" : `Stop ${picked.length} runs?`,
            text: <p>Each keeps the text it has so far and ends as cancelled. Whoever watches sees it at once. This cannot be undone.</p>,
            action: "Stop",
            danger: true,
            run: async () => {
              const { stopped, refused } = await post<Stopped>("/v1/admin/runs/stop", { run_ids: picked.map((run) => run.id) });
              say(outcome(`${stopped.length} told to stop`, refused));
              setChosen(new Set());
              loaded.again();
            },
          });
        // Who stopped an answer wanted none: such a run is chosen by hand only.
        const broken = rows.filter((run) => run.status === "error");
        const lost = rows.filter((run) => failed(run) && chosen.has(run.id)).slice(0, MOST);
        const mayAnswer = offers("POST /v1/admin/runs/again");
        const again = () =>
          setQuestion({
            title: lost.length === 1 ? "Answer this again?" : `Answer ${lost.length} again?`,
            text: (
              <p>
                Each question is answered anew on a branch of its own, by the same model, in the name of who asked it: they see it, and it counts as their use. What was written
                before stays. A run is answered again once, however often this is repeated.
              </p>
            ),
            action: "Answer again",
            run: async () => {
              const { answered, refused } = await post<AnsweredAgain>("/v1/admin/runs/again", { run_ids: lost.map((run) => run.id) });
              say(outcome(`${Object.keys(answered).length} answered again`, refused));
              setChosen(new Set());
              loaded.again();
            },
          });
        return (
          <>
            {offers("POST /v1/admin/runs/stop") && (
              <div className="row bulk">
                <button type="button" className="danger" disabled={!picked.length} onClick={stop}>
                  Stop {picked.length || ""}
                </button>
                {mayAnswer && (
                  <button type="button" disabled={!lost.length} onClick={again}>
                    Answer again {lost.length || ""}
                  </button>
                )}
                <button type="button" className="quiet" disabled={!going.length} onClick={() => setChosen(new Set(going.slice(0, MOST).map((run) => run.id)))}>
                  Choose all that run here ({going.length})
                </button>
                {mayAnswer && (
                  <button type="button" className="quiet" disabled={!broken.length} onClick={() => setChosen(new Set(broken.slice(0, MOST).map((run) => run.id)))}>
                    Choose all that failed here ({broken.length})
                  </button>
                )}
                {chosen.size > 0 && (
                  <button type="button" className="quiet" onClick={() => setChosen(new Set())}>
                    Choose none
                  </button>
                )}
              </div>
            )}
            <Table
              label="Runs"
              empty={rows.length === 0 && "No run is like that."}
              head={
                <>
                  <th>
                    <span className="unseen">Chosen</span>
                  </th>
                  <th>State</th>
                  <th>Run</th>
                  <th>Model</th>
                  <th>Path</th>
                  <th>User</th>
                  <th>Agent</th>
                  <th>Accepted</th>
                  <th className="number">Took</th>
                  <th className="number">Attempts</th>
                  <th className="number">Cost</th>
                </>
              }
            >
              {rows.map((run) => (
                <tr key={run.id} data-run={run.id} data-status={run.status}>
                  <td>
                    {(open(run) || (mayAnswer && failed(run))) && (
                      <input
                        type="checkbox"
                        aria-label={`Choose ${run.id}`}
                        checked={chosen.has(run.id)}
                        onChange={(event) => {
                          const changed = new Set(chosen);
                          if (event.target.checked) changed.add(run.id);
                          else changed.delete(run.id);
                          setChosen(changed);
                        }}
                      />
                    )}
                  </td>
                  <td>
                    <State status={run.status} /> {run.error_code && <code className="bad">{run.error_code}</code>}
                  </td>
                  <td>
                    <Link to={`/console/runs/${run.id}`}>
                      <code>{run.id}</code>
                    </Link>
                  </td>
                  <td title={run.model}>{modelName(run.model)}</td>
                  <td>{run.path}</td>
                  <td>
                    <button type="button" className="link plain" title={`${run.user_id}: only this user's runs`} aria-label={`${shortened(run.user_id)}: only the runs of ${run.user_id}`} onClick={() => setQuery({ user: run.user_id })}>
                      {shortened(run.user_id)}
                    </button>
                  </td>
                  <td>{or(run.agent)}</td>
                  <td>
                    <When at={run.created_at} />
                  </td>
                  <td className="number">{duration(Math.max(0, (run.ended_at ? Date.parse(run.ended_at) : loaded.at) - Date.parse(run.created_at)))}</td>
                  <td className="number">{run.attempts || "–"}</td>
                  <td className="number">{dollars(run.cost_microusd) ?? "–"}</td>
                </tr>
              ))}
            </Table>
            {next && (
              <button type="button" onClick={more}>
                Older runs
              </button>
            )}
            {question && <Ask question={question} onClose={() => setQuestion(null)} />}
          </>
        );
      }}
    </View>
  );
}

function Filters({ query }: { query: URLSearchParams }) {
  const choose = (name: string, label: string, values: ReadonlyArray<readonly [string, string]>) => (
    <label>
      <span className="unseen">{label}</span>
      <select value={query.get(name) ?? ""} onChange={(event) => setQuery({ [name]: event.target.value || null })}>
        {values.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <div className="filters" role="search" aria-label="Filters">
      {choose("status", "State", [["", "any state"], ...STATUSES.map((status) => [status, status] as const)])}
      {choose("path", "Path", [
        ["", "both paths"],
        ["durable_event", "durable_event"],
        ["legacy_sync", "legacy_sync"],
      ])}
      {choose("since", "Accepted", SINCE)}
      {(["model", "user", "agent"] as const).map((name) => (
        <Field key={`${name}=${query.get(name) ?? ""}`} name={name} value={query.get(name) ?? ""} />
      ))}
      {[...query].length > 0 && (
        <button type="button" className="quiet" onClick={() => setQuery(Object.fromEntries([...query.keys()].map((name) => [name, null])))}>
          Clear
        </button>
      )}
    </div>
  );
}

/** In force at Enter or when it is left. */
function Field({ name, value }: { name: string; value: string }) {
  const [text, setText] = useState(value);
  const apply = () => text.trim() !== value && setQuery({ [name]: text.trim() || null });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <label>
        <span className="unseen">{name === "user" ? "User" : name === "model" ? "Model" : "Agent"}</span>
        <input value={text} placeholder={name} onChange={(event) => setText(event.target.value)} onBlur={apply} />
      </label>
    </form>
  );
}
