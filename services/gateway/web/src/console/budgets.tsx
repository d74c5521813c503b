import { useState } from "react";
import { call } from "../lib/api";
import { Icon } from "../lib/icons";
import { offers } from "../lib/session";
import { say } from "../lib/toast";
import type { Budgets as InForce } from "./api";
import { useLoad } from "./load";
import { Ask, Facts, Table, View, When, or, type Question } from "./parts";

const inDollars = (micro: number | null): string => (micro === null ? "no limit" : `$${(micro / 1e6).toFixed(2)} a day`);

interface Draft {
  default: string;
  users: Array<{ id: string; limit: string }>;
}

const text = (micro: number | null): string => (micro === null ? "" : String(micro / 1e6));

/** Micro-dollars of what was written; null for nothing; undefined for what is no amount. */
function amount(written: string): number | null | undefined {
  if (!written.trim()) return null;
  const value = Number(written);
  return Number.isFinite(value) && value >= 0 && value <= 1e9 ? Math.round(value * 1e6) : undefined;
}

export function Budgets() {
  const loaded = useLoad<InForce>("/v1/admin/budgets", 10);
  const [draft, setDraft] = useState<{ of: InForce; draft: Draft } | null>(null);
  return (
    <View
      title="Budgets"
      loaded={loaded}
      tools={
        loaded.data &&
        !draft &&
        offers("PUT /v1/admin/budgets") && (
          <button type="button" onClick={() => setDraft({ of: loaded.data!, draft: { default: text(loaded.data!.default), users: Object.entries(loaded.data!.users).map(([id, limit]) => ({ id, limit: text(limit) })) } })}>
            Change
          </button>
        )
      }
    >
      {(now) => (
        <>
          <Facts
            items={[
              ["For everybody", inDollars(now.default)],
              ["Revision", now.revision],
              ["Changed by", or(now.changed_by)],
              ["At", <When at={now.changed_at} />],
              ["Why", or(now.why)],
            ]}
          />
          {draft ? (
            <Edit
              {...draft}
              onClose={() => {
                setDraft(null);
                loaded.again();
              }}
            />
          ) : (
            <Table
              label="Budgets of single users"
              empty={Object.keys(now.users).length === 0 && "No user has a budget of their own."}
              head={
                <>
                  <th>User</th>
                  <th className="number">In place of everybody's</th>
                </>
              }
            >
              {Object.entries(now.users).map(([id, limit]) => (
                <tr key={id}>
                  <td>
                    <code>{id}</code>
                  </td>
                  <td className="number">{inDollars(limit)}</td>
                </tr>
              ))}
            </Table>
          )}
        </>
      )}
    </View>
  );
}

function Edit({ of, draft, onClose }: { of: InForce; draft: Draft; onClose: () => void }) {
  const [now, setNow] = useState(draft);
  const [question, setQuestion] = useState<Question | null>(null);
  const change = (index: number, changes: Partial<Draft["users"][number]>) => setNow({ ...now, users: now.users.map((user, i) => (i === index ? { ...user, ...changes } : user)) });
  const named = now.users.filter((user) => user.id.trim());
  const amounts = [amount(now.default), ...named.map((user) => amount(user.limit))];
  const doubled = new Set(named.map((user) => user.id.trim())).size < named.length;
  const wrong = amounts.includes(undefined) || doubled;
  const save = () =>
    setQuestion({
      title: "Put these budgets in force?",
      text: <p>Every worker has them within a second. Calls under way keep what they have set aside.</p>,
      action: "Change",
      reason: true,
      run: async (why) => {
        const body = { default: amount(now.default), users: Object.fromEntries(named.map((user) => [user.id.trim(), amount(user.limit)])) };
        await call("PUT", `/v1/admin/budgets?why=${encodeURIComponent(why)}`, body, { "if-match": `"${of.revision}"` });
        say("The budgets are in force.");
        onClose();
      },
    });
  return (
    <>
    <form
      className="edit"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <p className="note">US dollars a day (of UTC); empty is no limit.</p>
      <label className="inline">
        For everybody <input inputMode="decimal" autoFocus value={now.default} onChange={(event) => setNow({ ...now, default: event.target.value })} />
      </label>
      {now.users.map((user, i) => (
        <div className="row" key={i}>
          <input aria-label={`User ${i + 1}`} placeholder="user id" value={user.id} onChange={(event) => change(i, { id: event.target.value })} />
          <input aria-label={`Budget of user ${i + 1}`} inputMode="decimal" placeholder="no limit" value={user.limit} onChange={(event) => change(i, { limit: event.target.value })} />
          <button type="button" className="icon" aria-label={`Take out user ${i + 1}`} onClick={() => setNow({ ...now, users: now.users.filter((_, at) => at !== i) })}>
            <Icon name="close" />
          </button>
        </div>
      ))}
      <div className="row">
        <button type="button" className="quiet" onClick={() => setNow({ ...now, users: [...now.users, { id: "", limit: "" }] })}>
          <Icon name="plus" /> Another user
        </button>
        <span className="grow" />
        <button type="button" onClick={onClose}>
          Leave it
        </button>
        <button type="submit" className="primary" disabled={wrong}>
          Change
        </button>
      </div>
      {wrong && <p className="bad">{doubled ? "A user stands there twice." : "An amount is a number of dollars, 0 or more."}</p>}
    </form>
    {question && <Ask question={question} onClose={() => setQuestion(null)} />}
    </>
  );
}
