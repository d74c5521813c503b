/** Messages that are sent again and again: made, listed with their next time, paused, edited, taken away. */
import { type FormEvent, useEffect, useState } from "react";
import { call, get, make, remove } from "../lib/api";
import { Failure } from "../lib/failure";
import { modelName } from "../lib/format";
import { Icon } from "../lib/icons";
import { moment, ownZone } from "../lib/moments";
import { nameOf, reads } from "../lib/people";
import { chosenAgent, chosenModel, useChoice } from "../lib/models";
import { session } from "../lib/session";
import { useStore } from "../lib/store";
import { onEntry } from "../threads/feed";
import { useThread } from "../threads/threads";
import { Dialog } from "./all";
import { dialogThread } from "./dialogs";
import { cronOf, DAYS, inWords, type Rhythm, type Times, timesOf } from "./timetable";

interface Schedule {
  id: string;
  cron: string;
  time_zone: string;
  content: string;
  next_at: string | null;
  last_run_id: string | null;
  last_refusal: string | null;
  model: string;
  agent: string;
  user_id: string;
  revision: number;
  paused: boolean;
}

interface Wanted {
  cron: string;
  content: string;
  time_zone: string;
  model?: string;
  agent?: string;
}

const RHYTHMS: ReadonlyArray<[Rhythm, string]> = [
  ["day", "every day"],
  ["weekdays", "Monday to Friday"],
  ["week", "every week"],
  ["month", "every month"],
  ["hour", "every hour"],
  ["cron", "by a cron expression"],
];

/** A change of what somebody has seen: refused where it is something else by now. */
const change = (path: string, item: Schedule, changes: Partial<Wanted> & { paused?: boolean }) =>
  call<Schedule>("PATCH", `${path}/${item.id}`, changes, { "if-match": `"${item.revision}"` });

export function Schedules() {
  const id = useStore(dialogThread);
  const thread = useThread(id);
  const [items, setItems] = useState<Schedule[] | null>(null);
  const [editing, setEditing] = useState("");
  // Whose button the keyboard goes back to.
  const [edited, setEdited] = useState("");
  const open = !!items?.some((item) => item.id === editing);
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
  const attempt = (what: Promise<unknown>) => {
    setError("");
    // Also where it was refused: what is shown was not what is.
    what.catch((problem: Error) => setError(problem.message)).finally(load);
  };
  return (
    <Dialog title="Repeating messages" className="schedules">
      <p className="hint" dir="auto">
        {thread?.title || "New chat"}
      </p>
      <Failure text={error} />
      {items && items.length > 0 && (
        <ul className="people" aria-label="Repeating messages">
          {items.map((item) =>
            editing === item.id ? (
              <li key={item.id} data-schedule={item.id}>
                <Form
                  item={item}
                  onSave={(wanted) => change(path, item, wanted).finally(load)}
                  onDone={() => {
                    setEdited(editing);
                    setEditing("");
                  }}
                />
              </li>
            ) : (
              <Row
                key={item.id}
                item={item}
                readOnly={readOnly}
                back={edited === item.id}
                onEdit={() => setEditing(item.id)}
                onPause={() => attempt(change(path, item, { paused: !item.paused }))}
                onRemove={() => attempt(remove(`${path}/${item.id}`))}
              />
            ),
          )}
        </ul>
      )}
      {items?.length === 0 && <p className="hint">None yet. Each time the message is sent once, also when nobody is here, and its answer is in this chat.</p>}
      {readOnly && <p className="hint">You may read this chat; those who may write in it make these.</p>}
      {!readOnly && !open && (
        <section>
          <h3>Another one</h3>
          <Form onSave={(wanted) => make(path, wanted).finally(load)} />
        </section>
      )}
    </Dialog>
  );
}

function Row({ item, readOnly, back, onEdit, onPause, onRemove }: { item: Schedule; readOnly: boolean; back: boolean; onEdit: () => void; onPause: () => void; onRemove: () => void }) {
  const { agents } = useChoice();
  const [sure, setSure] = useState(false);
  const elsewhere = item.time_zone !== ownZone();
  const what = `“${item.content.slice(0, 40)}”`;
  const next = item.paused ? "paused" : item.next_at ? `next ${moment(item.next_at)}` : "no more";
  return (
    <li data-schedule={item.id} data-paused={item.paused || undefined}>
      <Icon name="calendar" />
      <span className="grow">
        <span dir="auto" className="content">
          {item.content}
        </span>
        <small>
          {inWords(item.cron)}
          {elsewhere && ` (${item.time_zone})`} · {next}
          {item.model && ` · ${modelName(item.model)}`}
          {item.agent && ` · ${agents.find((known) => known.id === item.agent)?.name ?? item.agent}`}
          {item.user_id !== session.get().userId && ` · by ${nameOf(item.user_id)}`}
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
        !readOnly && (
          <span className="acts">
            <button
              type="button"
              className="icon"
              aria-label={`${item.paused ? "Resume" : "Pause"} ${what}`}
              title={item.paused ? "Send it again, from its next time on" : "Send nothing until it is resumed"}
              onClick={onPause}
            >
              <Icon name={item.paused ? "play" : "pause"} />
            </button>
            <button type="button" className="icon" aria-label={`Edit ${what}`} title="Change what is sent, and when" autoFocus={back} onClick={onEdit}>
              <Icon name="edit" />
            </button>
            <button type="button" className="icon" aria-label={`Delete ${what}`} title="Send it no more" onClick={() => setSure(true)}>
              <Icon name="trash" />
            </button>
          </span>
        )
      )}
    </li>
  );
}

/** What is sent and when: of one that there is, or of another one. */
function Form({ item, onSave, onDone }: { item?: Schedule; onSave: (wanted: Wanted) => Promise<unknown>; onDone?: () => void }) {
  const { models, agents } = useChoice();
  const [content, setContent] = useState(item?.content ?? "");
  const [times, setTimes] = useState<Times>(() => timesOf(item?.cron ?? "0 9 * * *"));
  const [cron, setCron] = useState(item?.cron ?? "0 9 * * *");
  const [zone, setZone] = useState(() => item?.time_zone ?? ownZone());
  const [model, setModel] = useState(() => item?.model ?? chosenModel.get());
  const [agent, setAgent] = useState(() => item?.agent ?? chosenAgent.get());
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const alter = (changes: Partial<Times>) =>
    setTimes((before) => {
      const next = { ...before, ...changes };
      if (next.rhythm !== "cron") setCron(cronOf(next));
      return next;
    });
  const save = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await onSave({ cron, content, time_zone: zone, ...(item || model ? { model } : {}), ...(item || agent ? { agent } : {}) });
      if (onDone) return onDone();
      setContent("");
    } catch (problem) {
      setError((problem as Error).message);
    }
    setBusy(false);
  };
  const gone = model && !models.some((known) => known.id === model);
  const agentGone = agent && !agents.some((known) => known.id === agent);
  return (
    <form onSubmit={save} aria-label={item ? "Edit" : "Another one"}>
      <label>
        Message
        <textarea rows={2} dir="auto" required autoFocus={!!item} value={content} onChange={(event) => setContent(event.target.value)} />
      </label>
      <div className="fields">
        <label>
          Sent
          <select value={times.rhythm} onChange={(event) => alter({ rhythm: event.target.value as Rhythm })}>
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
            <select value={times.day} onChange={(event) => alter({ day: Number(event.target.value) })}>
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
            <input type="number" min={1} max={31} required value={times.date} onChange={(event) => alter({ date: Number(event.target.value) })} />
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
            <input type="time" required value={times.at} onChange={(event) => event.target.value && alter({ at: event.target.value })} />
          </label>
        )}
        <label>
          Time zone
          <input required maxLength={64} spellCheck={false} value={zone} onChange={(event) => setZone(event.target.value)} />
        </label>
      </div>
      <div className="fields">
        <label>
          Model
          <select value={model} onChange={(event) => setModel(event.target.value)}>
            <option value="">as the chat</option>
            {gone && <option value={model}>{modelName(model)}</option>}
            {models.map((known) => (
              <option key={known.id} value={known.id}>
                {modelName(known.id)}
              </option>
            ))}
          </select>
        </label>
        {(agents.length > 0 || agent) && (
          <label>
            Agent
            <select value={agent} onChange={(event) => setAgent(event.target.value)}>
              <option value="">as the chat</option>
              {agentGone && <option value={agent}>{agent}</option>}
              {agents.map((known) => (
                <option key={known.id} value={known.id}>
                  {known.name}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <Failure text={error} />
      <div className="row">
        <button type="submit" className="primary" disabled={busy || !content.trim()}>
          {item ? "Save" : "Repeat it"}
        </button>
        {onDone && (
          <button type="button" onClick={onDone}>
            Cancel
          </button>
        )}
        <small>{inWords(cron)}</small>
      </div>
    </form>
  );
}
