import { useEffect, useState } from "react";
import { get, patch } from "../lib/api";
import { count, dollars, modelName } from "../lib/format";
import { useChoice } from "../lib/models";
import { moment } from "../lib/moments";
import { stopPush } from "../lib/push";
import { become, developmentUser, leave, offers, useSession } from "../lib/session";
import { kept } from "../lib/store";
import { applyTheme, type Theme } from "../lib/theme";
import { say } from "../lib/toast";
import { Dialog } from "./all";
import { Documents } from "./documents";
import { Notifications } from "./notifications";

interface Preferences {
  system_prompt: string;
  default_model: string;
  [more: string]: unknown;
}

interface Usage {
  total: Record<"calls" | "retried_calls" | "input_tokens" | "cached_tokens" | "output_tokens" | "cost_microusd", number>;
  budget: { limit_microusd: number | null; spent_microusd: number; reserved_microusd: number; resets_at: string };
}

/** Preferences, who one is, use, documents: what this installation offers. */
export function Settings() {
  const { mode, role, userId } = useSession();
  return (
    <Dialog title="Settings" className="settings">
      <Appearance />
      <AllThreads />
      {offers("GET /v1/me/usage") && <Use />}
      {offers("POST /v1/documents") && <Documents />}
      {offers("POST /v1/me/push") && <Notifications />}
      <section>
        <h3>Who you are</h3>
        <p>
          <code>{userId}</code> <small>{role}</small>
        </p>
        {mode === "development" ? (
          <Somebody />
        ) : (
          <button
            type="button"
            onClick={() =>
              // Who signs in here next is not told of this person's answers.
              stopPush()
                .catch(() => {})
                .finally(() => void leave())
            }
          >
            Sign out of this browser
          </button>
        )}
      </section>
    </Dialog>
  );
}

function Appearance() {
  const [theme, setTheme] = useState<Theme>(kept.get("theme", "system"));
  return (
    <section>
      <h3>Colours</h3>
      <div className="row" role="group" aria-label="Colours">
        {(["system", "light", "dark"] as const).map((value) => (
          <button
            type="button"
            key={value}
            aria-pressed={theme === value}
            onClick={() => {
              kept.set("theme", value);
              applyTheme(value);
              setTheme(value);
            }}
          >
            {value === "system" ? "As the system" : value === "light" ? "Light" : "Dark"}
          </button>
        ))}
      </div>
    </section>
  );
}

function AllThreads() {
  const { models } = useChoice();
  const [kept, setKept] = useState<Preferences | null>(null);
  const [prompt, setPrompt] = useState("");
  useEffect(() => {
    get<Preferences>("/v1/me/preferences")
      .then((found) => {
        setKept(found);
        setPrompt(found.system_prompt);
      })
      .catch((error: Error) => say(error.message));
  }, []);
  const save = async (changes: Record<string, unknown>) => {
    try {
      setKept(await patch<Preferences>("/v1/me/preferences", changes));
      say("Saved.");
    } catch (error) {
      say((error as Error).message);
    }
  };
  if (!kept) return <section aria-busy="true" />;
  return (
    <section>
      <h3>In every chat</h3>
      <label>
        Model, where a chat has none of its own
        <select value={kept.default_model} onChange={(event) => void save({ default_model: event.target.value })}>
          <option value="">This installation's</option>
          {models.map((model) => (
            <option key={model.id} value={model.id}>
              {modelName(model.id)}
            </option>
          ))}
        </select>
      </label>
      {"path" in kept && (
        <label>
          Path, where the rollout leaves the choice
          <select value={String(kept.path ?? "")} onChange={(event) => void save({ path: event.target.value })}>
            <option value="">As the rollout says</option>
            <option value="durable_event">Durable</option>
            <option value="legacy_sync">Legacy</option>
          </select>
        </label>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save({ system_prompt: prompt });
        }}
      >
        <label>
          What every answer should know or heed
          <textarea rows={4} dir="auto" maxLength={20_000} value={prompt} onChange={(event) => setPrompt(event.target.value)} />
        </label>
        <button type="submit" disabled={prompt === kept.system_prompt}>
          Save
        </button>
      </form>
    </section>
  );
}

function Use() {
  const [use, setUse] = useState<Usage | null>(null);
  useEffect(() => {
    get<Usage>("/v1/me/usage")
      .then(setUse)
      .catch(() => {});
  }, []);
  if (!use) return null;
  return (
    <section>
      <h3>Use and budget</h3>
      {use.budget.limit_microusd !== null && (
        <>
          <progress max={Math.max(1, use.budget.limit_microusd)} value={use.budget.spent_microusd + use.budget.reserved_microusd} aria-label="Of today's budget" />
          <small>
            {dollars(use.budget.spent_microusd)} of {dollars(use.budget.limit_microusd)} today; anew {moment(use.budget.resets_at)}
          </small>
        </>
      )}
      <dl className="facts">
        {(
          [
            ["Last 30 days", dollars(use.total.cost_microusd)],
            ["Calls of models", count(use.total.calls)],
            ["Calls made again after a failure", count(use.total.retried_calls)],
            ["Tokens in, of them cached", `${count(use.total.input_tokens)}, ${count(use.total.cached_tokens)}`],
            ["Tokens out", count(use.total.output_tokens)],
          ] as const
        ).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Somebody() {
  const [user, setUser] = useState(developmentUser());
  const [admin, setAdmin] = useState(kept.get<string>("role", "user") === "admin");
  return (
    <form
      className="somebody"
      onSubmit={(event) => {
        event.preventDefault();
        stopPush()
          .catch(() => {})
          .then(() => become(user.trim() || "demo", admin ? "admin" : "user"))
          .catch((error: Error) => say(error.message));
      }}
    >
      <p className="hint">Development: everybody on this machine may be anybody.</p>
      <div className="row">
        <input aria-label="User" value={user} maxLength={100} onChange={(event) => setUser(event.target.value)} />
        <label className="check">
          <input type="checkbox" checked={admin} onChange={(event) => setAdmin(event.target.checked)} /> administrator
        </label>
        <button type="submit">Be that</button>
      </div>
    </form>
  );
}
