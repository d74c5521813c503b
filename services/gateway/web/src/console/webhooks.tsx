import { useEffect, useRef, useState } from "react";
import { get, make, type Page } from "../lib/api";
import { count } from "../lib/format";
import { Icon } from "../lib/icons";
import { go, setQuery, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import type { Delivery, Webhook, Webhooks as All } from "./api";
import { useLoad } from "./load";
import { Link, Table, View } from "./parts";
import { WebhookForm, type Fields } from "./webhook-form";
import { showSecret } from "./webhook-secret";

/** How often the dead ones are counted, in milliseconds: each is looked at. */
const COUNT_EVERY = 30_000;
/** How many are counted, and how many pages are read for it. */
const MOST = 1000;
const PAGES = 10;

interface Dead {
  count: number;
  /** There are more than were counted. */
  more: boolean;
  last: string;
}

const EMPTY: Fields = { url: "", events: [], description: "", enabled: true };

/** The webhooks of internal services: what waits for each, what was given up, and why; and another one made. */
export function Webhooks() {
  const { query } = usePlace();
  const making = query.has("new");
  const [opened, setOpened] = useState(false);
  const loaded = useLoad<All>("/v1/webhooks", 10);
  const [dead, recount] = useDead(loaded.data?.items, loaded.at);
  const again = () => {
    recount();
    loaded.again();
  };
  const save = async (wanted: Partial<Fields>) => {
    const hook = await make<Webhook>("/v1/webhooks", wanted);
    showSecret(hook);
    go(`/console/webhooks/${hook.id}`, { replace: true });
  };
  return (
    <View
      title="Webhooks"
      loaded={{ ...loaded, again }}
      tools={
        loaded.data &&
        !making &&
        offers("POST /v1/webhooks") && (
          // The keyboard comes back to it when the form is closed.
          <button
            type="button"
            autoFocus={opened}
            onClick={() => {
              setOpened(true);
              setQuery({ new: "1" }, { replace: false });
            }}
          >
            <Icon name="plus" /> New webhook
          </button>
        )
      }
    >
      {({ items, event_types }) =>
        making ? (
          <WebhookForm of="new" now={EMPTY} types={event_types ?? null} onSave={save} onClose={() => setQuery({ new: null })} />
        ) : (
          <Table
            label="Webhooks"
            empty={items.length === 0 && "No service has subscribed."}
            head={
              <>
                <th>Webhook</th>
                <th>State</th>
                <th className="number">Waiting</th>
                <th className="number">Dead</th>
                <th>Last error</th>
              </>
            }
          >
            {items.map((hook) => {
              const given = dead[hook.id];
              return (
                <tr key={hook.id} data-webhook={hook.id}>
                  <td className="two">
                    <Link to={`/console/webhooks/${hook.id}`} title={hook.events.join(", ")}>
                      {hook.description || hook.id}
                    </Link>
                    <small title={hook.url}>{hook.url}</small>
                  </td>
                  <td>
                    <HookState hook={hook} />
                  </td>
                  <td className={`number ${hook.queue.full ? "bad" : ""}`}>
                    {count(hook.queue.waiting)}
                    {hook.queue.full && " (full)"}
                  </td>
                  <td className={`number ${given?.count ? "bad" : ""}`}>{given ? `${count(given.count)}${given.more ? " or more" : ""}` : "…"}</td>
                  <td className="reason">{hook.disabled_reason ?? given?.last ?? ""}</td>
                </tr>
              );
            })}
          </Table>
        )
      }
    </View>
  );
}

export function HookState({ hook }: { hook: Webhook }) {
  return <span className={hook.enabled ? "" : "warm"}>{hook.enabled ? "enabled" : hook.disabled_reason ? "paused" : "disabled"}</span>;
}

/** Of each webhook its dead deliveries, read one webhook after the other; and what has them counted at the next reading. */
function useDead(hooks: readonly Webhook[] | undefined, at: number): readonly [Record<string, Dead>, () => void] {
  const [dead, setDead] = useState<Record<string, Dead>>({});
  const counted = useRef(0);
  const left = useRef(false);
  useEffect(() => {
    left.current = false;
    return () => void (left.current = true);
  }, []);
  useEffect(() => {
    if (!hooks || at - counted.current < COUNT_EVERY) return;
    counted.current = at;
    void (async () => {
      for (const { id } of hooks) {
        if (left.current) return;
        const found = await deadOf(id).catch(() => null);
        if (found) setDead((before) => ({ ...before, [id]: found }));
      }
    })();
  }, [hooks, at]);
  return [dead, () => void (counted.current = 0)];
}

async function deadOf(id: string): Promise<Dead> {
  let cursor: string | null = "";
  let last = "";
  let n = 0;
  for (let page = 0; page < PAGES && cursor !== null && n < MOST; page++) {
    const found: Page<Delivery> = await get(`/v1/webhooks/${id}/deliveries?status=dead&limit=200&cursor=${cursor}`);
    n += found.items.length;
    // The latest comes last.
    last = found.items.at(-1)?.error ?? last;
    cursor = found.next_cursor;
  }
  return { count: n, more: cursor !== null, last };
}
