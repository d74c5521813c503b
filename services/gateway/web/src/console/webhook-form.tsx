import { useId, useRef, useState, type FormEvent } from "react";
import type { ApiError } from "../lib/api";
import { session } from "../lib/session";
import type { Webhook } from "./api";
import { Failure } from "./parts";

export type Fields = Pick<Webhook, "url" | "events" | "description" | "enabled">;

/** What was written and is not saved, in this tab: it outlives a reload, a sign-in, and a look at another view. */
const draft = {
  at: (of: string) => `everthread.webhook.${session.get().userId}.${of}`,
  get(of: string): Partial<Fields> {
    try {
      return JSON.parse(sessionStorage.getItem(draft.at(of)) ?? "{}") as Partial<Fields>;
    } catch {
      return {};
    }
  },
  set(of: string, changes: Partial<Fields>): void {
    try {
      if (Object.keys(changes).length) sessionStorage.setItem(draft.at(of), JSON.stringify(changes));
      else sessionStorage.removeItem(draft.at(of));
    } catch {
      // Private windows and full disks: the form works without.
    }
  },
};

/** `run` of `run.completed`. */
const kind = (name: string): string => name.split(".")[0]!;
const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

interface Wrong {
  /** The field it is about, or none. */
  field: "url" | "events" | "";
  why: string;
  code?: string;
  trace?: string;
}

/** What a webhook is: of a new one, or of one that there is (`of` is its id), where only what somebody changed is saved.
 * `types` is the catalogue of events, null while it is not known. */
export function WebhookForm({ of, now, types, onSave, onClose }: { of: string; now: Fields; types: readonly string[] | null; onSave: (changes: Partial<Fields>) => Promise<void>; onClose: () => void }) {
  const [changes, setChanges] = useState(() => draft.get(of));
  const [restored] = useState(() => Object.keys(changes).length > 0);
  const [wrong, setWrong] = useState<Wrong | null>(null);
  const [busy, setBusy] = useState(false);
  const url = useRef<HTMLInputElement>(null);
  const events = useRef<HTMLFieldSetElement>(null);
  const id = useId();
  const isNew = of === "new";
  const fields = { ...now, ...changes };
  // What is chosen is shown, also where the catalogue does not have it.
  const known = [...new Set([...(types ?? []), ...now.events, ...fields.events])];
  const groups = new Set(known.map(kind));
  const change = (some: Partial<Fields>) => {
    // What is again as it is was not changed.
    const next = Object.fromEntries(Object.entries({ ...changes, ...some }).filter(([name, value]) => !same(value, now[name as keyof Fields])));
    setChanges(next);
    draft.set(of, next);
  };
  // In the catalogue's order, whatever was clicked first.
  const choose = (names: readonly string[], on: boolean) => change({ events: known.filter((name) => (names.includes(name) ? on : fields.events.includes(name))) });
  const refuse = (what: Wrong) => {
    setWrong(what);
    if (what.field === "url") url.current?.focus();
    if (what.field === "events") events.current?.querySelector("input")?.focus();
  };
  const close = () => {
    draft.set(of, {});
    onClose();
  };
  const save = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setWrong(null);
    if (!fields.url.trim()) return refuse({ field: "url", why: "It needs an address." });
    if (!fields.events.length) return refuse({ field: "events", why: "Choose at least one event." });
    setBusy(true);
    try {
      const wanted = { ...(isNew ? fields : changes) };
      if (wanted.url !== undefined) wanted.url = wanted.url.trim();
      if (Object.keys(wanted).length) await onSave(wanted);
      close();
    } catch (problem) {
      const { message, code, traceId, offline } = problem as ApiError;
      const about = code === "webhook_invalid" && message.includes("url") ? "url" : "";
      const unsure = offline && isNew ? " Whether it was made is not certain: look at the list before you try again. If it is there, rotate its secret to see one." : "";
      refuse({ field: about, why: message + unsure, code, trace: traceId });
    } finally {
      setBusy(false);
    }
  };
  const described = (field: Wrong["field"]) => ({ "aria-describedby": `${wrong?.field === field ? `${id}-wrong ` : ""}${id}-${field}`, "data-wrong": wrong?.field === field || undefined });
  const told = (field: Wrong["field"]) =>
    wrong?.field === field && (
      <p className="bad" id={`${id}-wrong`} role="alert">
        {wrong.why}
      </p>
    );
  return (
    <form className="edit webhook-form" noValidate aria-labelledby={`${id}-title`} onSubmit={save}>
      <h2 id={`${id}-title`}>{isNew ? "New webhook" : "Edit the webhook"}</h2>
      {restored && <p className="note">What you wrote before and did not save is here again. “Leave it” throws it away.</p>}
      <div>
        <label>
          Address
          <input
            ref={url}
            className="mono"
            type="url"
            autoFocus
            required
            maxLength={2048}
            autoComplete="off"
            spellCheck={false}
            placeholder="https://"
            aria-invalid={wrong?.field === "url"}
            value={fields.url}
            onChange={(event) => change({ url: event.target.value })}
            {...described("url")}
          />
        </label>
        {told("url")}
        <small id={`${id}-url`}>{isNew ? "Each event is sent there by POST." : "Each event is sent there by POST; what is queued goes to the new address too."}</small>
      </div>
      <label>
        What it is for
        <input maxLength={500} autoComplete="off" value={fields.description} onChange={(event) => change({ description: event.target.value })} />
      </label>
      <fieldset ref={events} {...described("events")}>
        <legend>Events</legend>
        {told("events")}
        {types === null && known.length === 0 && <p className="hint">Reading…</p>}
        <div className="groups">
          {[...groups].map((group) => (
            <div key={group} role="group" aria-label={group}>
              {known.filter((name) => kind(name) === group).map((name) => (
                <label key={name} className="check">
                  <input type="checkbox" checked={fields.events.includes(name)} onChange={(event) => choose([name], event.target.checked)} />
                  {name}
                </label>
              ))}
            </div>
          ))}
        </div>
        <div className="row">
          <button type="button" className="link" onClick={() => choose(known, true)}>
            All
          </button>
          <button type="button" className="link" onClick={() => choose(known, false)}>
            None
          </button>
        </div>
        <small id={`${id}-events`}>An event has ids and states, never a text that somebody wrote.</small>
      </fieldset>
      <div>
        <label className="check">
          <input type="checkbox" aria-describedby={`${id}-enabled`} checked={fields.enabled} onChange={(event) => change({ enabled: event.target.checked })} />
          Enabled
        </label>
        <small id={`${id}-enabled`}>While it is not, what is queued waits for up to fourteen days, and what happens is not queued.</small>
      </div>
      {wrong && !wrong.field && <Failure what={isNew ? "It was not made." : "It was not saved."} why={wrong.why} code={wrong.code} trace={wrong.trace} />}
      <div className="row end">
        <button type="button" onClick={close}>
          Leave it
        </button>
        <button type="submit" className="primary" disabled={busy}>
          {isNew ? "Create" : "Save"}
        </button>
      </div>
    </form>
  );
}
