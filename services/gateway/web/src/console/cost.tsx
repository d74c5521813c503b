import type { ReactNode } from "react";
import { compact, count, dollars } from "../lib/format";
import { setQuery, usePlace } from "../lib/router";
import type { AllUsage, UsageSums } from "./api";
import { useLoad } from "./load";
import { Facts, Meter, Table, View } from "./parts";

const DAYS = ["1", "7", "30", "90"];
const TABS = [
  ["model", "By model"],
  ["user", "By user"],
  ["day", "By day"],
] as const;

function sum(items: UsageSums[]): UsageSums {
  const all: UsageSums = { calls: 0, input_tokens: 0, output_tokens: 0, cached_tokens: 0, reasoning_tokens: 0, cost_microusd: 0, unpriced_calls: 0, estimated_calls: 0, retried_calls: 0, retried_cost_microusd: 0, estimated_cost_microusd: 0 };
  for (const item of items) for (const name of Object.keys(all) as Array<keyof UsageSums>) all[name] += item[name] ?? 0;
  return all;
}

function grouped<T extends UsageSums>(items: T[], key: (item: T) => string): Array<[string, UsageSums]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups].map(([name, members]) => [name, sum(members)]);
}

/** What calls cost, by model, user or day; those that were made again are counted apart. */
export function Cost() {
  const { query } = usePlace();
  const days = query.get("days") ?? "30";
  const by = query.get("by") ?? "model";
  const loaded = useLoad<AllUsage>(`/v1/admin/usage?days=${encodeURIComponent(days)}`, 15);
  const rowsOf = (usage: AllUsage): Array<[string, UsageSums]> => {
    const dearest = (a: [string, UsageSums], b: [string, UsageSums]) => b[1].cost_microusd - a[1].cost_microusd || b[1].calls - a[1].calls;
    if (by === "user") return usage.users.map((user): [string, UsageSums] => [user.user_id, user]).sort(dearest);
    if (by === "day") return grouped(usage.items, (item) => item.day).sort((a, b) => b[0].localeCompare(a[0]));
    return grouped(usage.items, (item) => item.model).sort(dearest);
  };
  return (
    <View
      title="Cost"
      loaded={loaded}
      tools={
        <>
          <div className="choices" role="group" aria-label="Sums">
            {TABS.map(([value, text]) => (
              <button type="button" className="quiet" key={value} aria-pressed={by === value} onClick={() => setQuery({ by: value })}>
                {text}
              </button>
            ))}
          </div>
          <label>
            <span className="unseen">Days</span>
            <select value={days} onChange={(event) => setQuery({ days: event.target.value })}>
              {DAYS.map((value) => (
                <option key={value} value={value}>
                  {value === "1" ? "today" : `${value} days`}
                </option>
              ))}
            </select>
          </label>
        </>
      }
    >
      {(usage) => {
        const rows = rowsOf(usage);
        const most = Math.max(1, ...rows.map(([, figures]) => figures.cost_microusd));
        return (
          <>
            <Facts
              items={[
                ["Cost", dollars(usage.total.cost_microusd)],
                ["Calls", count(usage.total.calls)],
                ["Made again", `${dollars(usage.total.retried_cost_microusd) ?? "–"} · ${count(usage.total.retried_calls)} calls`],
                ["Broken off", `${dollars(usage.total.estimated_cost_microusd) ?? "–"} · ${count(usage.total.estimated_calls)} calls`],
                ["Without a price", count(usage.total.unpriced_calls)],
                ["Users", count(usage.users.length)],
              ]}
            />
            <Table
              label="Cost"
              empty={rows.length === 0 && "No call was made in these days."}
              head={
                <>
                  <th>{by === "user" ? "User" : by === "day" ? "Day (UTC)" : "Model"}</th>
                  <th className="number">Cost</th>
                  <th className="wide">
                    <span className="unseen">Against the dearest</span>
                  </th>
                  <th className="number">Calls</th>
                  <th className="number" title="What second and later attempts cost: the worker before was lost, or its call failed. The number is how many calls.">
                    Made again
                  </th>
                  <th className="number" title="What calls cost whose tokens are estimated: they were broken off (stopped, or their worker was lost), or their provider tells no tokens. The number is how many calls.">
                    Broken off
                  </th>
                  <th className="number">Input</th>
                  <th className="number">of it cached</th>
                  <th className="number">Output</th>
                  <th className="number">of it thinking</th>
                </>
              }
            >
              {rows.map(([name, figures]) => (
                <tr key={name}>
                  <td>
                    <code>{name}</code>
                  </td>
                  <td className="number">{money(figures)}</td>
                  <td className="wide">
                    <Meter value={figures.cost_microusd} most={most} label={`Cost of ${name}`} />
                  </td>
                  <td className="number">{count(figures.calls)}</td>
                  <td className={`number ${figures.retried_calls ? "warm" : ""}`}>{apart(figures.retried_cost_microusd, figures.retried_calls)}</td>
                  <td className="number">{apart(figures.estimated_cost_microusd, figures.estimated_calls)}</td>
                  <td className="number">{compact(figures.input_tokens)}</td>
                  <td className="number">{compact(figures.cached_tokens)}</td>
                  <td className="number">{compact(figures.output_tokens)}</td>
                  <td className="number">{compact(figures.reasoning_tokens)}</td>
                </tr>
              ))}
            </Table>
          </>
        );
      }}
    </View>
  );
}

function apart(cost: number, calls: number): ReactNode {
  if (!calls) return "–";
  return (
    <>
      {dollars(cost ?? null) ?? "?"} <small>{count(calls)}</small>
    </>
  );
}

function money(figures: UsageSums): ReactNode {
  return (
    <>
      {figures.unpriced_calls === figures.calls ? "?" : dollars(figures.cost_microusd)}
      {figures.unpriced_calls > 0 && <small title={`${count(figures.unpriced_calls)} calls have no price`}> + ?</small>}
    </>
  );
}
