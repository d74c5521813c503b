import { useState } from "react";
import { post } from "../lib/api";
import { CopyButton } from "../lib/copy";
import { count, duration } from "../lib/format";
import { offers, useSession } from "../lib/session";
import { say } from "../lib/toast";
import { TraceLink } from "../lib/trace";
import type { Stopped, Timeline } from "./api";
import { useLoad } from "./load";
import { Ask, Facts, Link, State, View, When, type Question } from "./parts";

/** What a run did between one moment and the next, by the moment it ends with. */
const MEANT: Record<string, string> = {
  published: "stored, waiting for the relay",
  claimed: "in the queue",
  asked: "preparing the call",
  first_token: "waiting for the model",
  shown: "first text on its way",
  ended: "writing",
  stored: "storing the answer",
};
const ENDED = new Set(["complete", "error", "cancelled"]);

interface Span {
  key: string;
  kind: "phase" | "attempt" | "step";
  name: string;
  about: string;
  from: number;
  to: number;
  open: boolean;
}

function spansOf(line: Timeline, now: number): { spans: Span[]; whole: number } {
  const zero = Date.parse(line.phases[0]?.at ?? line.attempts[0]?.started_at ?? new Date(now).toISOString());
  const ended = ENDED.has(line.status);
  const marks = [
    ...line.phases.map((phase) => phase.offset_ms),
    ...[...line.attempts, ...line.steps].map((span) => Date.parse(span.ended_at ?? span.started_at) - zero),
  ];
  const whole = Math.max(1, ...marks, ended ? 0 : now - zero);
  const at = (time: string | null) => (time === null ? whole : Date.parse(time) - zero);
  const spans: Span[] = line.phases.slice(1).map((phase, i) => ({
    key: phase.name,
    kind: "phase",
    name: MEANT[phase.name] ?? phase.name,
    about: `until ${phase.name.replace("_", " ")}`,
    from: line.phases[i]!.offset_ms,
    to: phase.offset_ms,
    open: false,
  }));
  const last = line.phases.at(-1);
  if (last && !ended) {
    const name = { accepted: "waiting for the relay", published: "in the queue", claimed: "preparing the call", asked: "waiting for the model" }[last.name] ?? "writing";
    spans.push({ key: "now", kind: "phase", name: line.status === "waiting" ? "waiting for a person" : name, about: "now", from: last.offset_ms, to: whole, open: true });
  }
  for (const attempt of line.attempts) {
    spans.push({ key: `a${attempt.attempt}`, kind: "attempt", name: `attempt ${attempt.attempt}`, about: attempt.worker, from: at(attempt.started_at), to: at(attempt.ended_at), open: attempt.ended_at === null });
    for (const step of line.steps.filter((one) => one.attempt === attempt.attempt)) {
      spans.push({
        key: `s${attempt.attempt}-${step.step}-${step.started_at}`,
        kind: "step",
        name: `${step.kind} ${step.name}`.trim(),
        about: `${step.outcome}${step.finish_reason ? `, ${step.finish_reason}` : ""}`,
        from: at(step.started_at),
        to: at(step.ended_at),
        open: step.ended_at === null,
      });
    }
  }
  return { spans, whole };
}

/** Where one run spent its time: phases, the workers that held it, the calls they made. */
export function Run({ id }: { id: string }) {
  const { traceUrl } = useSession();
  const [ended, setEnded] = useState(false);
  const loaded = useLoad<Timeline>(`/v1/admin/runs/${encodeURIComponent(id)}/timeline`, ended ? 0 : 1.5);
  const [question, setQuestion] = useState<Question | null>(null);
  const running = loaded.data !== null && !ENDED.has(loaded.data.status);
  const { data } = loaded;
  // An ended run of the durable path is read on until its answer is stored, too.
  if (data && !running && !ended && (!data.whole || data.path !== "durable_event" || data.phases.some((phase) => phase.name === "stored"))) setEnded(true);
  const stop = () =>
    setQuestion({
      title: "Stop this run?",
      text: <p>It keeps the text it has so far and ends as cancelled. This cannot be undone.</p>,
      action: "Stop",
      danger: true,
      run: async () => {
        const { refused } = await post<Stopped>("/v1/admin/runs/stop", { run_ids: [id] });
        if (refused[id]) throw new Error(`It was refused: ${refused[id]}.`);
        say("Told to stop.");
        loaded.again();
      },
    });
  return (
    <View
      title="Run"
      loaded={loaded}
      tools={
        <>
          <code className="id">{id}</code>
          <CopyButton text={id} label="Copy the run's id" />
          <span className="grow" />
          {running && offers("POST /v1/admin/runs/stop") && (
            <button type="button" className="danger" onClick={stop}>
              Stop
            </button>
          )}
        </>
      }
    >
      {(line) => {
        const { spans, whole } = spansOf(line, loaded.at);
        const first = line.phases.find((phase) => phase.name === "first_token");
        return (
          <>
            <Facts
              items={[
                ["State", <State status={line.status} />],
                ["Model", line.model],
                ["Path", line.path],
                ["Accepted", <When at={line.phases[0]?.at} />],
                ["First word", first ? duration(first.offset_ms) : "–"],
                ["In all", duration(whole)],
                ["Attempts", count(line.attempts.length)],
                ["Taken back", count(line.retractions)],
                ["Text events", count(line.pieces)],
                ["Thread", <code>{line.thread_id}</code>],
                ...(traceUrl && line.attempts.some((attempt) => attempt.trace_id)
                  ? ([
                      [
                        "Traces",
                        <span className="traces">
                          {line.attempts.map((attempt) => (
                            <TraceLink key={attempt.attempt} id={attempt.trace_id}>{`attempt ${attempt.attempt}`}</TraceLink>
                          ))}
                        </span>,
                      ],
                    ] as const)
                  : []),
              ]}
            />
            {!line.whole && <p className="note">The run's log has expired; this is what is kept of it.</p>}
            <table className="waterfall" aria-label="Where the time went">
              <thead>
                <tr>
                  <th scope="col">What</th>
                  <th scope="col" className="axis">
                    <span>0</span>
                    <span>{duration(whole / 2)}</span>
                    <span>{duration(whole)}</span>
                  </th>
                  <th scope="col" className="number">
                    From
                  </th>
                  <th scope="col" className="number">
                    Took
                  </th>
                </tr>
              </thead>
              <tbody>
                {spans.map((span) => (
                  <tr key={span.key} className={span.kind} data-open={span.open ? "" : undefined}>
                    <th scope="row">
                      {span.name} <small>{span.about}</small>
                    </th>
                    <td>
                      <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
                        <rect x={(span.from / whole) * 1000} width={Math.max(3, ((span.to - span.from) / whole) * 1000)} y="1" height="8" rx="2" />
                      </svg>
                    </td>
                    <td className="number">{duration(span.from)}</td>
                    <td className="number">{duration(Math.max(0, span.to - span.from))}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <p>
              <Link to="/console/runs">All runs</Link>
            </p>
            {question && <Ask question={question} onClose={() => setQuestion(null)} />}
          </>
        );
      }}
    </View>
  );
}
