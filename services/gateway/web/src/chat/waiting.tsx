/** What a run waits for, as a form: an approval, an answer that fits a schema, or a moment. */
import { useEffect, useState } from "react";
import { get } from "../lib/api";
import { offers } from "../lib/session";

interface Wait {
  reason: string;
  schema?: Schema | null;
  prompt?: string;
  wait_id?: string;
  tool_call_id?: string;
  expires_at?: string | null;
}

interface Schema {
  type?: string;
  title?: string;
  description?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  default?: unknown;
}

interface Props {
  run: string;
  /** It waits no longer: somebody answered, perhaps elsewhere. */
  onResumed: () => void;
  onAnswer: (verb: "approve" | "input", body: unknown) => Promise<void>;
}

export function WaitingForm({ run, onResumed, onAnswer }: Props) {
  const [wait, setWait] = useState<Wait | null>(null);
  const [error, setError] = useState("");
  const [sending, setSending] = useState(false);
  const [note, setNote] = useState("");
  useEffect(() => {
    let gone = false;
    let timer = 0;
    const look = async () => {
      const found = await get<{ waiting?: Wait | null }>(`/v1/runs/${run}/state`).catch(() => null);
      if (gone) return;
      if (found) setWait((before) => (before?.wait_id === found.waiting?.wait_id && before ? before : (found.waiting ?? null)));
      if (found && !found.waiting) onResumed();
      timer = window.setTimeout(look, document.hidden ? 10_000 : 1500);
    };
    void look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [run]);
  if (!wait) return null;
  const answer = async (verb: "approve" | "input", body: unknown) => {
    setSending(true);
    setError("");
    try {
      await onAnswer(verb, body);
    } catch (problem) {
      setError((problem as Error).message);
    } finally {
      setSending(false);
    }
  };
  const until = wait.expires_at ? `until ${new Date(wait.expires_at).toLocaleString()}` : "";
  if (wait.reason === "timer") return <p className="card waiting">This answer goes on by itself {until.replace("until", "at")}.</p>;
  if (wait.reason === "approval") {
    const can = offers("POST /v1/runs/{run_id}/approve");
    return (
      <form className="card waiting" aria-label="Approval" onSubmit={(event) => event.preventDefault()}>
        <p>
          <strong>{wait.prompt || "May this tool be used?"}</strong> <small>{until}</small>
        </p>
        <input aria-label="Note" placeholder="A note for the model, if you refuse" value={note} onChange={(event) => setNote(event.target.value)} />
        <div className="row">
          <button type="button" className="primary" disabled={!can || sending} onClick={() => answer("approve", { wait_id: wait.wait_id, approved: true })}>
            Approve
          </button>
          <button type="button" disabled={!can || sending} onClick={() => answer("approve", { wait_id: wait.wait_id, approved: false, ...(note ? { note } : {}) })}>
            Refuse
          </button>
          {error && <span role="alert">{error}</span>}
        </div>
      </form>
    );
  }
  return <InputForm wait={wait} until={until} error={error} sending={sending} onSend={(value) => answer("input", { wait_id: wait.wait_id, value })} />;
}

function InputForm({ wait, until, error, sending, onSend }: { wait: Wait; until: string; error: string; sending: boolean; onSend: (value: unknown) => void }) {
  const schema = wait.schema ?? {};
  const fields = schema.type === "object" && schema.properties ? Object.entries(schema.properties) : null;
  const [values, setValues] = useState<Record<string, unknown>>({});
  const put = (name: string, value: unknown) => setValues((before) => ({ ...before, [name]: value }));
  return (
    <form
      className="card waiting"
      aria-label="Question"
      onSubmit={(event) => {
        event.preventDefault();
        onSend(fields ? values : (values[""] ?? ""));
      }}
    >
      <p>
        <strong>{wait.prompt || schema.title || "The answer needs something from you."}</strong> <small>{until}</small>
      </p>
      {fields ? (
        fields.map(([name, field]) => (
          <Field key={name} name={name} schema={field} required={schema.required?.includes(name) ?? false} value={values[name]} onChange={(value) => put(name, value)} />
        ))
      ) : (
        <Field name="" schema={schema} required value={values[""]} onChange={(value) => put("", value)} />
      )}
      <div className="row">
        <button type="submit" className="primary" disabled={sending || !offers("POST /v1/runs/{run_id}/input")}>
          Answer
        </button>
        {error && <span role="alert">{error}</span>}
      </div>
    </form>
  );
}

function Field({ name, schema, required, value, onChange }: { name: string; schema: Schema; required: boolean; value: unknown; onChange: (value: unknown) => void }) {
  const label = schema.title ?? name;
  if (schema.enum) {
    return (
      <label>
        {label}
        <select required={required} value={String(value ?? "")} onChange={(event) => onChange(schema.enum![event.target.selectedIndex - 1])}>
          <option value="" disabled>
            Choose
          </option>
          {schema.enum.map((item) => (
            <option key={String(item)}>{String(item)}</option>
          ))}
        </select>
      </label>
    );
  }
  if (schema.type === "boolean") {
    return (
      <label className="check">
        <input type="checkbox" checked={value === true} onChange={(event) => onChange(event.target.checked)} /> {label || "Yes"}
      </label>
    );
  }
  const number = schema.type === "number" || schema.type === "integer";
  return (
    <label>
      {label}
      {schema.description && <small>{schema.description}</small>}
      <input
        required={required}
        type={number ? "number" : "text"}
        step={schema.type === "integer" ? 1 : "any"}
        aria-label={label || "Your answer"}
        value={String(value ?? "")}
        onChange={(event) => onChange(number ? (event.target.value === "" ? undefined : Number(event.target.value)) : event.target.value)}
      />
    </label>
  );
}
