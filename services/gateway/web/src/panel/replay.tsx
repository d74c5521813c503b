import { useEffect, useRef, useState } from "react";
import { Markdown } from "../chat/markdown";
import { get } from "../lib/api";
import { duration } from "../lib/format";
import { Icon } from "../lib/icons";
import type { RunEvent } from "./events";

const SPEEDS = [0.5, 1, 2, 5, 20] as const;

/** The recorded events at their own pace, without the model: the log is all it needs. */
export function Replay({ run }: { run: string }) {
  const [events, setEvents] = useState<RunEvent[] | null>(null);
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const place = useRef({ time: 0, then: 0 });
  useEffect(() => {
    let gone = false;
    void (async () => {
      const found: RunEvent[] = [];
      let cursor: string | null = "";
      while (cursor !== null && !gone && found.length < 50_000) {
        const page: { items: RunEvent[]; next_cursor: string | null } = await get(`/v1/runs/${run}/log?limit=5000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
        found.push(...page.items);
        cursor = page.next_cursor;
      }
      if (!gone) setEvents(found);
    })().catch(() => !gone && setEvents([]));
    return () => {
      gone = true;
    };
  }, [run]);
  const start = events?.length ? Date.parse(events[0]!.at) : 0;
  const length = events?.length ? Date.parse(events.at(-1)!.at) - start : 0;
  useEffect(() => {
    if (!playing || !events) return;
    let frame = requestAnimationFrame(function step(now) {
      const { then } = place.current;
      place.current.time += then ? (now - then) * speed : 0;
      place.current.then = now;
      const until = start + place.current.time;
      let reached = 0;
      while (reached < events.length && Date.parse(events[reached]!.at) <= until) reached++;
      setAt(reached);
      if (reached >= events.length) setPlaying(false);
      else frame = requestAnimationFrame(step);
    });
    return () => {
      cancelAnimationFrame(frame);
      place.current.then = 0;
    };
  }, [playing, events, speed, start]);
  if (!events) return <p className="hint">Reading the log…</p>;
  if (!events.length) return <p className="hint">The log of this run has expired; its answer is stored.</p>;
  const shown = events.slice(0, at);
  const jump = (to: number) => {
    place.current.time = (to >= events.length ? length : Date.parse(events[to]!.at) - start) + 0.5;
    setAt(to);
  };
  return (
    <>
      <div className="row">
        <button
          type="button"
          className="primary"
          aria-label={playing ? "Pause" : "Play"}
          onClick={() => {
            if (at >= events.length) jump(0);
            setPlaying(!playing);
          }}
        >
          <Icon name={playing ? "stop" : "play"} /> {playing ? "Pause" : "Play"}
        </button>
        <label className="inline">
          Speed
          <select value={speed} onChange={(event) => setSpeed(Number(event.target.value))}>
            {SPEEDS.map((value) => (
              <option key={value} value={value}>
                {value}×
              </option>
            ))}
          </select>
        </label>
        <small>
          {at} of {events.length} events · {duration(Math.min(place.current.time, length))} of {duration(length)}
        </small>
      </div>
      <input type="range" aria-label="Place in the log" min={0} max={events.length} value={at} onChange={(event) => jump(Number(event.target.value))} />
      <Markdown text={textAfter(shown)} growing={at < events.length} />
      {shown.at(-1) && (
        <p className="summary">
          <code>{shown.at(-1)!.type}</code> <span>attempt {shown.at(-1)!.attempt}</span>
        </p>
      )}
    </>
  );
}

/** The answer's text after these events, part by part as it is stored; what was taken back is not in it. */
export function textAfter(events: readonly RunEvent[]): string {
  const parts = new Map<number, { openedAt: number; agent: unknown; deltas: string[] }>();
  for (const event of events) {
    if (event.type === "text.delta") {
      const number = Number(event.part);
      const part = parts.get(number) ?? { openedAt: event.sequence, agent: event.agent, deltas: [] };
      part.deltas.push(String(event.delta ?? ""));
      parts.set(number, part);
    } else if (event.type === "text.retracted") {
      for (const [number, part] of parts) {
        const named = !event.agent || part.agent === event.agent;
        if (named && part.openedAt >= Number(event.from_sequence)) parts.delete(number);
      }
    }
  }
  return [...parts]
    .sort(([one], [other]) => one - other)
    .flatMap(([, part]) => part.deltas)
    .join("");
}
