/** Messages that are sent again and again: made, listed with their next time, taken away. */
import { type FormEvent, useEffect, useState } from "react";
import { get, post, remove } from "../lib/api";
import { Failure } from "../lib/failure";
import { Icon } from "../lib/icons";
import { moment, ownZone } from "../lib/moments";
import { reads } from "../lib/people";
import { chosenAgent, chosenModel } from "../lib/models";
import { useStore } from "../lib/store";
import { onEntry } from "../threads/feed";
import { useThread } from "../threads/threads";
import { Dialog } from "./all";
import { dialogThread } from "./dialogs";
import { cronOf, DAYS, inWords, type Rhythm, type Times } from "./timetable";

interface Schedule {
  id: string;
  cron: string;
  time_zone: string;
  content: string;
  next_at: string | null;
  last_run_id: string | null;
  last_refusal: string | null;
}

const RHYTHMS: ReadonlyArray<[Rhythm, string]> = [
  ["day", "every day"],
  ["weekdays", "Monday to Friday"],
  ["week", "every week"],
  ["month", "every month"],
  ["hour", "every hour"],
  ["cron", "by a cron expression"],
];

export function Schedules() {
  const id = useStore(dialogThread);
  const thread = useThread(id);
  const [items, setItems] = useState<Schedule[] | null>(null);
  const [error, setError] = useState("");
  const path = `/v1/threads/${id}/schedules`;
  const load = () =>
    get<{ items: Schedule[] }>(path)
      .then((found) => setItems(found.items))
      .catch((problem: Error) => setError(problem.message));
  useEffect(() => {
    void load();
    // One has just been sent: its next time is another.
    return onEntry((entry) => {
      if (entry.thread_id === id && entry.type === "message.accepted") setTimeout(load, 500);
    });
  }, [id]);
  const readOnly = reads(thread?.role);
  return (
    <Dialog title="Repeating messages" className="schedules">
      <p className="hint" dir="auto">
        {thread?.title || "New chat"}
      </p>
      <Failure text={error} />
      {items && items.length > 0 && (
        <ul className="people" aria-label="Repeating messages">
          {items.map((item) => (
            <Row
              key={item.id}
              item={item}
              onRemove={
                readOnly
                  ? undefined
                  : () =>
                      remove(`${path}/${item.id}`)
                        .then(load)
                        .catch((problem: Error) => setError(problem.message))
              }
            />
          ))}
        </ul>
      )}
      {items?.length === 0 && <p className="hint">None yet. Each time the message is sent once, also when nobody is here, and its answer is in this chat.</p>}
      {readOnly ? <p className="hint">You may read this chat; those who may write in it make these.</p> : <Make path={path} onMade={load} />}
    </Dialog>
  );
}

function Row({ item, onRemove }: { item: Schedule; onRemove?: () => void }) {
  const [sure, setSure] = useState(false);
  const elsewhere = item.time_zone !== ownZone();
  return (
    <li data-schedule={item.id}>
      <Icon name="calendar" />
      <span className="grow">
        <span dir="auto" className="content">
          {item.content}
        </span>
        <small>
          {inWords(item.cron)}
          {elsewhere && ` (${item.time_zone})`} · {item.next_at ? `next ${moment(item.next_at)}` : "no more"}
        </small>
        {item.last_refusal && <small className="wrong">The last time it was not sent: {item.last_refusal}</small>}
      </span>
      {sure ? (
        <>
          <button type="button" autoFocus onClick={() => setSure(false)}>
            Keep
          </button>
          <button type="button" className="danger" onClick={onRemove}>
            Delete
          </button>
        </>
      ) : (
        onRemove && (
          <button type="button" className="icon" aria-label={`Delete “${item.content.slice(0, 40)}”`} title="Send it no more" onClick={() => setSure(true)}>
            <Icon name="trash" />
          </button>
        )
      )}
    </li>
  );
}

function Make({ path, onMade }: { path: string; onMade: () => Promise<void> }) {
  const [content, setContent] = useState("");
  const [times, setTimes] = useState<Times>({ rhythm: "day", at: "09:00", day: 1, date: 1 });
  const [cron, setCron] = useState("0 9 * * *");
  const [zone, setZone] = useState(ownZone);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const change = (changes: Partial<Times>) =>
    setTimes((before) => {
      const next = { ...before, ...changes };
      if (next.rhythm !== "cron") setCron(cronOf(next));
      return next;
    });
  const make = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    const [model, agent] = [chosenModel.get(), chosenAgent.get()];
    try {
      await post(path, { cron, content, time_zone: zone, ...(model ? { model } : {}), ...(agent ? { agent } : {}) });
      setContent("");
      await onMade();
    } catch (problem) {
      setError((problem as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section>
      <h3>Another one</h3>
      <form onSubmit={make}>
        <label>
          Message
          <textarea rows={2} dir="auto" required value={content} onChange={(event) => setContent(event.target.value)} />
        </label>
        <div className="fields">
          <label>
            Sent
            <select value={times.rhythm} onChange={(event) => change({ rhythm: event.target.value as Rhythm })}>
              {RHYTHMS.map(([value, name]) => (
                <option key={value} value={value}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          {times.rhythm === "week" && (
            <label>
              On
              <select value={times.day} onChange={(event) => change({ day: Number(event.target.value) })}>
                {DAYS.map((name, day) => (
                  <option key={name} value={day}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          )}
          {times.rhythm === "month" && (
            <label>
              On day
              <input type="number" min={1} max={31} required value={times.date} onChange={(event) => change({ date: Number(event.target.value) })} />
            </label>
          )}
          {times.rhythm === "cron" ? (
            <label className="long">
              Minute, hour, day, month, day of the week
              <input className="mono" required maxLength={100} spellCheck={false} value={cron} onChange={(event) => setCron(event.target.value)} />
            </label>
          ) : (
            <label>
              {times.rhythm === "hour" ? "At minute of" : "At"}
              <input type="time" required value={times.at} onChange={(event) => event.target.value && change({ at: event.target.value })} />
            </label>
          )}
          <label>
            Time zone
            <input required maxLength={64} spellCheck={false} value={zone} onChange={(event) => setZone(event.target.value)} />
          </label>
        </div>
        <Failure text={error} />
        <div className="row">
          <button type="submit" className="primary" disabled={busy || !content.trim()}>
            Repeat it
          </button>
          <small>{inWords(cron)}</small>
        </div>
      </form>
    </section>
  );
}
