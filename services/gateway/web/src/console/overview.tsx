import { useState, type ReactNode } from "react";
import { post } from "../lib/api";
import { count } from "../lib/format";
import { offers } from "../lib/session";
import type { Overview, Workers } from "./api";
import { useLoad } from "./load";
import { Failure, Link, View, Warning } from "./parts";

/** What an SRE looks at first: each figure leads to what is behind it. */
export function OverviewView() {
  const loaded = useLoad<Overview>("/v1/admin/overview", 3);
  const workers = useLoad<Workers>(offers("GET /v1/admin/workers") ? "/v1/admin/workers" : "", 5);
  return (
    <View title="Overview" loaded={loaded}>
      {(now) => (
        <>
          {workers.data?.warnings.map((warning) => <Warning key={warning}>{warning}</Warning>)}
          <ul className="cards">
            <Card name="Pending" value={now.runs.pending} to="/console/runs?status=pending" about="accepted, no worker yet" />
            <Card name="Generating" value={now.runs.generating} to="/console/runs?status=generating" about="a worker is at it" />
            <Card name="Waiting" value={now.runs.waiting} to="/console/runs?status=waiting" about="for a person" />
            <Card name="Ended" value={now.runs.ended_last_hour} to="/console/runs" about="in the last hour" />
            <Card name="Failed" value={now.runs.failed_last_hour} to="/console/runs?status=error" about="in the last hour" bad={now.runs.failed_last_hour > 0} />
            <Card name="Workers" value={now.workers} to="/console/workers" about={`${count(now.gateways)} gateway${now.gateways === 1 ? "" : "s"}`} bad={now.workers === 0} />
            <Card name="Commands" value={now.commands_waiting} to="/console/streams" about="not yet taken by a worker" />
            <Card name="Outbox" value={now.outbox} to="/console/streams" about="stored, not yet published" />
            <Card name="Dead letters" value={now.dead_letters} to="/console/dead-letters" about="given up" bad={now.dead_letters > 0} />
            <Card name="Durable path" value={now.share === null ? null : `${now.share} %`} to="/console/rollout" about="of the users" />
          </ul>
          {offers("POST /v1/admin/test-event") && <TestEvent />}
        </>
      )}
    </View>
  );
}

function Card({ name, value, to, about, bad }: { name: string; value: number | string | null; to: string; about: string; bad?: boolean }) {
  return (
    <li className={bad ? "bad" : undefined}>
      <Link to={to}>
        <span>{name}</span>
        <strong>{value === null ? "–" : typeof value === "number" ? count(value) : value}</strong>
        <small>{about}</small>
      </Link>
    </li>
  );
}

function TestEvent() {
  const [text, setText] = useState("Say hello in one sentence.");
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState<ReactNode>(null);
  return (
    <section>
      <h2>Send a test event</h2>
      <p className="note">A message through the whole mesh, in a temporary thread of yours that is called "Test event". It costs what its answer costs.</p>
      <form
        className="inline"
        onSubmit={async (event) => {
          event.preventDefault();
          setBusy(true);
          try {
            const { run_id, thread_id } = await post<{ run_id: string; thread_id: string }>("/v1/admin/test-event", { text });
            setSaid(
              <p role="status">
                Accepted: <Link to={`/console/runs/${run_id}`}>{run_id}</Link> in <a href={`/t/${thread_id}`}>its thread</a>.
              </p>,
            );
          } catch (error) {
            setSaid(<Failure what="It was not accepted." why={(error as Error).message} />);
          } finally {
            setBusy(false);
          }
        }}
      >
        <label className="grow">
          <span className="unseen">Text of the test event</span>
          <input value={text} required maxLength={10000} onChange={(event) => setText(event.target.value)} />
        </label>
        <button type="submit" disabled={busy || !text.trim()}>
          Send
        </button>
      </form>
      {said}
    </section>
  );
}
