import { useState, type ReactNode } from "react";
import { call } from "../lib/api";
import { count, dollars, duration } from "../lib/format";
import { setQuery, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import { say } from "../lib/toast";
import type { Flag, PathFigures, Rollout, UserPath } from "./api";
import { useLoad } from "./load";
import { Ask, Facts, Spark, Table, View, Warning, When, percent, type Question } from "./parts";
import { placeOf, splitOf } from "./place";

const PATHS = ["durable_event", "legacy_sync"] as const;
const WINDOWS = [
  ["900", "15 minutes"],
  ["3600", "an hour"],
  ["21600", "6 hours"],
  ["86400", "a day"],
  ["604800", "a week"],
] as const;
const MODES: Record<Rollout["mode"], string> = { paused: "paused: only people move it", running: "running: the guard moves it", cooling: "cooling down after going back", done: "done" };

/** Both paths side by side, where the ramp is, why, and the ways to steer it. */
export function RolloutView() {
  const { query } = usePlace();
  const window = query.get("window") ?? "3600";
  const loaded = useLoad<Rollout>(`/v1/admin/rollout?window=${encodeURIComponent(window)}`, 5);
  const flag = useLoad<Flag>(offers("GET /v1/admin/flags/{name}") ? "/v1/admin/flags/path" : "", 5);
  const [question, setQuestion] = useState<Question | null>(null);
  const steer = (action: string, share: number | undefined, title: string, text: ReactNode, danger = false) =>
    setQuestion({
      title,
      text,
      danger,
      reason: true,
      action: danger ? "Do it now" : "Do it",
      run: async (why) => {
        await call("PUT", `/v1/admin/rollout?why=${encodeURIComponent(why)}`, share === undefined ? { action } : { action, share });
        say("In force at every gateway within a second.");
        loaded.again();
        flag.again();
      },
    });
  const kill = () => steer("kill", undefined, "Everybody back to legacy_sync?", <p>From the next message on, all users are answered by legacy_sync, and the guard is paused. Runs that have begun go on where they are.</p>, true);
  return (
    <View
      title="Rollout"
      loaded={loaded}
      tools={
        <>
          <label>
            <span className="unseen">Window</span>
            <select value={window} onChange={(event) => setQuery({ window: event.target.value })}>
              {WINDOWS.map(([value, text]) => (
                <option key={value} value={value}>
                  the last {text.replace(/^an? /, "")}
                </option>
              ))}
            </select>
          </label>
          <span className="grow" />
          {offers("PUT /v1/admin/rollout") && (
            <button type="button" className="danger-fill" onClick={kill}>
              Kill switch
            </button>
          )}
        </>
      }
    >
      {(now) => (
        <>
          {flag.data?.refused && <Warning>The newest definition is not in force: {flag.data.refused}</Warning>}
          {now.broken_promises.gaps + now.broken_promises.doubles > 0 && (
            <Warning>
              Viewers were shown {count(now.broken_promises.gaps)} gaps and {count(now.broken_promises.doubles)} events twice. Both must be 0.
            </Warning>
          )}
          <Facts
            items={[
              ["On the durable path", now.share === null ? "no percentage decides" : `${now.share} %`],
              ["Guard", MODES[now.mode]],
              ["Since", <When at={now.since} />],
              ...(now.cooling_until ? ([["Cools until", <When at={now.cooling_until} />]] as const) : []),
              ["Last good share", `${now.last_good} %`],
              ["Went back", `${count(now.rollbacks)} times`],
              ["Revision", now.revision],
            ]}
          />
          <Ramp now={now} />
          {now.reason && <p className="note">The reason it stands there: {now.reason}</p>}
          {offers("PUT /v1/admin/rollout") && <Steering now={now} steer={steer} />}
          <Compared now={now} />
          <Movers now={now} flag={flag.data} />
          <section>
            <h2>History</h2>
            <Table
              label="History of the rollout"
              empty={now.changes.length === 0 && "Nothing was changed yet."}
              head={
                <>
                  <th>At</th>
                  <th>Change</th>
                  <th className="number">Share</th>
                  <th>By</th>
                  <th>Why</th>
                  <th className="number">Revision</th>
                </>
              }
            >
              {now.changes.map((change) => (
                <tr key={`${change.at} ${change.change} ${change.revision}`}>
                  <td>
                    <When at={change.at} />
                  </td>
                  <td>{change.change.replaceAll("_", " ")}</td>
                  <td className="number">{change.share === null ? "–" : `${change.share} %`}</td>
                  <td>{change.by}</td>
                  <td className="reason">{change.why}</td>
                  <td className="number">{change.revision}</td>
                </tr>
              ))}
            </Table>
          </section>
          {question && <Ask question={question} onClose={() => setQuestion(null)} />}
        </>
      )}
    </View>
  );
}

function Ramp({ now }: { now: Rollout }) {
  const share = now.share ?? 0;
  const next = now.steps.find((step) => step > share);
  return (
    <ol className="ramp" aria-label="Steps of the ramp">
      {now.steps.map((step) => (
        <li key={step} className={step <= share ? "reached" : undefined} aria-current={step === share ? "step" : undefined}>
          {step} %{step === next && now.mode === "running" ? <small> next</small> : null}
        </li>
      ))}
    </ol>
  );
}

type Steer = (action: string, share: number | undefined, title: string, text: ReactNode, danger?: boolean) => void;

function Steering({ now, steer }: { now: Rollout; steer: Steer }) {
  const [share, setShare] = useState(String(now.share ?? 0));
  const [shadow, setShadow] = useState(String(now.shadows.share));
  const whole = (text: string) => /^\d+$/.test(text) && Number(text) <= 100;
  return (
    <div className="row steering">
      {now.mode === "running" || now.mode === "cooling" ? (
        <button type="button" onClick={() => steer("pause", undefined, "Pause the guard?", <p>The share stays as it is until somebody changes it. Nobody goes back by itself either.</p>)}>
          Pause the guard
        </button>
      ) : (
        <button type="button" onClick={() => steer("resume", undefined, "Let the guard go on?", <p>It goes up by the steps while durable_event is as good as legacy_sync, and back where it is not.</p>)}>
          Let the guard go on
        </button>
      )}
      <form
        className="inline"
        onSubmit={(event) => {
          event.preventDefault();
          steer("set", Number(share), `${share} % on the durable path?`, <p>It counts from each user's next message on. The same users stay on it when the share grows. From then on only people move it, until the guard is let go on.</p>);
        }}
      >
        <label className="inline">
          Share, % <input type="number" min="0" max="100" value={share} onChange={(event) => setShare(event.target.value)} />
        </label>
        <button type="submit" disabled={!whole(share) || Number(share) === now.share}>
          Set
        </button>
      </form>
      <form
        className="inline"
        onSubmit={(event) => {
          event.preventDefault();
          steer("shadow", Number(shadow), `Repeat ${shadow} % unseen?`, <p>durable_event repeats what legacy_sync answered for so many of the users. Nobody sees it, and each repeated answer is paid for.</p>);
        }}
      >
        <label className="inline">
          Shadows, % <input type="number" min="0" max="100" value={shadow} onChange={(event) => setShadow(event.target.value)} />
        </label>
        <button type="submit" disabled={!whole(shadow) || Number(shadow) === now.shadows.share}>
          Set
        </button>
      </form>
    </div>
  );
}

const three = ({ p50, p95, p99 }: PathFigures["first_text_ms"]): string => (p50 === null ? "–" : [p50, p95, p99].map((value) => (value === null ? "–" : duration(value))).join(" · "));

const ROWS: ReadonlyArray<readonly [string, (path: PathFigures) => ReactNode, ((path: PathFigures) => ReadonlyArray<number | null>)?]> = [
  ["Runs", (p) => count(p.runs), (p) => p.runs_over_time],
  ["Completed", (p) => `${count(p.completed)} · ${percent(p.completion_rate)}`],
  ["Failed", (p) => `${count(p.failed)} · ${percent(p.error_rate)}`, (p) => p.errors_over_time],
  ["Errors", (p) => Object.entries(p.errors).map(([code, n]) => `${code} ${n}`).join(", ") || "none"],
  ["Cancelled · stalled · orphans", (p) => `${count(p.cancelled)} · ${count(p.stalled)} · ${count(p.orphans)}`],
  ["Survived that nobody watched", (p) => (p.departed ? `${percent(p.survival)} of ${count(p.departed)}` : "–"), (p) => p.survival_over_time],
  ["First word, p50 · p95 · p99", (p) => three(p.first_text_ms), (p) => p.first_text_p95_over_time],
  ["Whole answer, p50 · p95 · p99", (p) => three(p.duration_ms)],
  ["Cost an answer", (p) => (p.cost_per_answer_microusd === null ? "–" : dollars(p.cost_per_answer_microusd))],
  ["Database operations an answer", (p) => p.database_operations_per_answer?.toFixed(1) ?? "–", (p) => p.database_operations_over_time],
];

function Compared({ now }: { now: Rollout }) {
  const between = (found: { low: number; high: number } | null) => (found ? `${(found.low * 100).toFixed(1)} to ${(found.high * 100).toFixed(1)} points` : "too few runs on one of the paths");
  return (
    <section>
      <h2>Side by side</h2>
      <Table
        label="Both paths side by side"
        head={
          <>
            <th>Of what was accepted in the window</th>
            {PATHS.map((path) => (
              <th key={path} colSpan={2}>
                {path}
              </th>
            ))}
          </>
        }
      >
        {ROWS.map(([name, figure, line]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {PATHS.map((path) => {
              const figures = now.paths[path];
              return figures ? [<td key={path}>{figure(figures)}</td>, <td key={`${path} line`} className="line">{line && <Spark values={line(figures)} label={`${name} of ${path} over time`} />}</td>] : <td key={path} colSpan={2} />;
            })}
          </tr>
        ))}
      </Table>
      <p className="note">
        Difference in failures, durable less legacy, at 95 %: {between(now.error_difference)}. In completions: {between(now.completion_difference)}.
        {now.shadows.pairs > 0 && ` Shadows: ${count(now.shadows.equal)} of ${count(now.shadows.compared)} answers the same, likeness ${percent(now.shadows.similarity)}.`}
      </p>
    </section>
  );
}

/** Who has which path and who moves: by the flag's own arithmetic, for the users one asks about. */
function Movers({ now, flag }: { now: Rollout; flag: Flag | null }) {
  const [text, setText] = useState("");
  const split = flag ? splitOf(flag.definition) : null;
  const share = now.share ?? 0;
  const next = now.steps.find((step) => step > share);
  const users = [...new Set(text.split(/[\s,]+/).filter(Boolean))].slice(0, 50);
  return (
    <section>
      <h2>Who moves</h2>
      {split ? (
        <>
          <p className="note">
            {next === undefined || now.share === null
              ? "There is no next step. "
              : `The next step is ${next} %: it moves the users whose place in the hash is ${share} to ${next - 1}, ${next - share} of 100. `}
            A place never changes. Test accounts, and users with a wish for a path, are decided before it.
          </p>
          <label className="ask-users">
            Users to look up, by id
            <input value={text} placeholder="usr_…" onChange={(event) => setText(event.target.value)} />
          </label>
          {users.length > 0 && (
            <Table
              label="Places of users"
              head={
                <>
                  <th>User</th>
                  <th className="number">Place</th>
                  <th>Now</th>
                  <th>Why</th>
                  <th>At the next step</th>
                </>
              }
            >
              {users.map((user) => (
                <Moving key={user} user={user} place={placeOf(split.salt, user)} share={share} next={next} off={isOff(flag)} />
              ))}
            </Table>
          )}
        </>
      ) : (
        <p className="note">{flag ? "No single percentage by user id decides in the definition that is in force, so nobody's place can be told here." : "The flag is not told here."}</p>
      )}
    </section>
  );
}

const isOff = (flag: Flag | null): boolean => Object.values((flag?.definition as { flags?: Record<string, { state?: string }> } | undefined)?.flags ?? {})[0]?.state === "DISABLED";

/** One user: what the flag says now, as the gateway itself evaluates it, why, and what the next step changes. */
function Moving({ user, place, share, next, off }: { user: string; place: number; share: number; next: number | undefined; off: boolean }) {
  const asked = /^usr_[0-9A-HJKMNP-TV-Z]{26}$/.test(user) && offers("GET /v1/admin/rollout/users/{user_id}");
  const { data } = useLoad<UserPath>(asked ? `/v1/admin/rollout/users/${user}` : "", 10);
  const on = place < share && !off;
  const now = data?.variant ?? (on ? "durable_event" : "legacy_sync");
  const wished = !!data?.wish && data.variant === data.wish && !off;
  const why = off
    ? "The flag is off: everybody has legacy_sync."
    : wished
      ? `Wished for in their preferences; by the percentage it would be ${on ? "durable_event" : "legacy_sync"}.`
      : `Place ${place} is ${on ? "below" : "not below"} the share of ${share} %.${now === "shadow" ? " Served by legacy_sync, repeated unseen." : ""}${data?.seen === false ? " Not seen here yet, so without a wish." : ""}`;
  return (
    <tr>
      <td>
        <code>{user}</code>
      </td>
      <td className="number">{place}</td>
      <td>{now}</td>
      <td className="reason">{why}</td>
      <td>{wished || on || next === undefined ? "stays" : place < next ? "moves to durable_event" : `stays; moves from a share of ${place + 1} %`}</td>
    </tr>
  );
}
