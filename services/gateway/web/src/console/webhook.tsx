import { useState } from "react";
import { patch, post, type Page } from "../lib/api";
import { count } from "../lib/format";
import { setQuery, usePlace } from "../lib/router";
import { offers } from "../lib/session";
import { say } from "../lib/toast";
import type { Delivery, Replayed, Webhook as Hook, Webhooks } from "./api";
import { useLoad, usePages } from "./load";
import { Ask, Facts, Failure, Link, or, Table, View, Warning, When, type Question } from "./parts";
import { WebhookForm } from "./webhook-form";
import { deleting, disabling, enabling, pathOf, rotating } from "./webhook-questions";
import { WebhookSecret } from "./webhook-secret";
import { HookState } from "./webhooks";

const STATUSES = ["dead", "retrying", "pending", "delivered"];
const ONE = "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay";
const ALL = "POST /v1/webhooks/{webhook_id}/replay";
const CHANGE = "PATCH /v1/webhooks/{webhook_id}";
const ROTATE = "POST /v1/webhooks/{webhook_id}/secret";
const DELETE = "DELETE /v1/webhooks/{webhook_id}";

/** One webhook: what it is and the ways to change it; what became of its deliveries, and those that are dead sent again. */
export function Webhook({ id }: { id: string }) {
  const { query } = usePlace();
  const status = query.get("status") ?? "dead";
  const editing = query.has("edit");
  const path = pathOf(id);
  const address = `${path}/deliveries?status=${encodeURIComponent(status)}&limit=100`;
  const loaded = useLoad<Hook>(path, 5);
  const catalogue = useLoad<Pick<Webhooks, "event_types">>(editing ? "/v1/webhooks" : "", 30);
  const deliveries = useLoad<Page<Delivery>>(address, 5);
  const { items, next, more, reset } = usePages(address, deliveries.data);
  const [question, setQuestion] = useState<Question | null>(null);
  const [left, setLeft] = useState("");
  const [busy, setBusy] = useState("");
  const [opened, setOpened] = useState(false);
  const again = () => {
    reset();
    loaded.again();
    deliveries.again();
  };
  const sendAll = () =>
    setQuestion({
      title: "Send all dead deliveries again?",
      text: <p>Each under its own id, the longest dead first, up to 1,000 at once and no more than it has room for. A receiver that was told already hears it a second time, and knows it by the id.</p>,
      action: "Send again",
      run: async () => {
        const { queued, full, next_cursor } = await post<Replayed>(`${path}/replay`);
        say(`${count(queued)} ${queued === 1 ? "is" : "are"} sent again.`);
        setLeft(full ? "More were not queued: half of its share waits already. Come back when less does." : next_cursor ? "There may be more that are dead: send them again as well." : "");
        again();
      },
    });
  const sendOne = async (delivery: Delivery) => {
    setBusy(delivery.id);
    try {
      await post(`${path}/deliveries/${delivery.id}/replay`);
      say("1 is sent again.");
    } catch (error) {
      say((error as Error).message);
    } finally {
      setBusy("");
      again();
    }
  };
  const edit = () => {
    setOpened(true);
    setQuery({ edit: "1" }, { replace: false });
  };
  const ask = (what: (hook: Hook, done: () => void) => Question) => loaded.data && setQuestion(what(loaded.data, again));
  return (
    <>
      <View
        title="Webhook"
        loaded={{ ...loaded, again }}
        tools={
          loaded.data &&
          !editing && (
            <>
              {offers(CHANGE) && (
                // The keyboard comes back to it when the form is closed.
                <button type="button" autoFocus={opened} onClick={edit}>
                  Edit
                </button>
              )}
              {offers(ROTATE) && (
                <button type="button" onClick={() => ask(rotating)}>
                  Rotate secret
                </button>
              )}
              {offers(DELETE) && (
                <button type="button" className="danger" onClick={() => ask(deleting)}>
                  Delete
                </button>
              )}
            </>
          )
        }
      >
        {(hook) => {
          const off = !hook.enabled && (
            <Warning>
              {hook.disabled_reason ? `Paused. ${hook.disabled_reason}` : "Disabled by an administrator."} Nothing is sent to it, and dead deliveries cannot be sent again, until it is enabled.
            </Warning>
          );
          if (editing)
            return (
              <>
                <WebhookSecret of={id} />
                {off}
                {catalogue.error && <Failure what="The events that there are could not be read." why={catalogue.error.message} code={catalogue.error.code} />}
                <WebhookForm
                  of={id}
                  now={hook}
                  types={catalogue.data?.event_types ?? null}
                  onSave={async (changes) => {
                    await patch(path, changes);
                    say("The webhook is changed.");
                    again();
                  }}
                  onClose={() => setQuery({ edit: null })}
                />
              </>
            );
          const none = status === "dead" ? "No delivery was given up." : "There is none.";
          return (
            <>
              <WebhookSecret of={id} />
              <Facts
                items={[
                  ["To", <code>{hook.url}</code>],
                  ["For", or(hook.description)],
                  ["State", <HookState hook={hook} />],
                  ["Waiting", `${count(hook.queue.waiting)} of ${count(hook.queue.share)}`],
                  ["Events", hook.events.join(", ")],
                  ["Secret", <Secrets hook={hook} />],
                  ["Made by", <code>{hook.created_by}</code>],
                  ["Changed", <When at={hook.changed_at} />],
                ]}
              />
              {off}
              {left && <Warning>{left}</Warning>}
              {deliveries.error && <Failure what="Its deliveries could not be read." why={deliveries.error.message} code={deliveries.error.code} />}
              <div className="row bulk">
                <label>
                  <span className="unseen">Deliveries</span>
                  <select value={status} onChange={(event) => setQuery({ status: event.target.value === "dead" ? null : event.target.value })}>
                    {STATUSES.map((name) => (
                      <option key={name}>{name}</option>
                    ))}
                  </select>
                </label>
                {offers(ALL) && status === "dead" && (
                  <button type="button" disabled={!hook.enabled || !(items.length || next)} onClick={sendAll}>
                    Send all again
                  </button>
                )}
                {offers(CHANGE) && (
                  <button type="button" onClick={() => ask(hook.enabled ? disabling : enabling)}>
                    {hook.enabled ? "Disable" : "Enable"}
                  </button>
                )}
                <Link to="/console/webhooks">All webhooks</Link>
              </div>
              <Table
                label="Deliveries"
                empty={deliveries.data !== null && items.length === 0 && (next ? "None among those that were looked at so far." : none)}
                head={
                  <>
                    <th>At</th>
                    <th>Event</th>
                    <th className="number">Attempts</th>
                    <th>Last attempt</th>
                    <th>Error</th>
                    <th>
                      <span className="unseen">What to do</span>
                    </th>
                  </>
                }
              >
                {items.map((delivery) => (
                  <tr key={delivery.id} data-delivery={delivery.id}>
                    <td>
                      <When at={delivery.timestamp} />
                    </td>
                    <td className="two">
                      {delivery.type}
                      <small title={delivery.id}>{delivery.id}</small>
                    </td>
                    <td className="number">{delivery.attempts}</td>
                    <td>
                      <When at={delivery.attempted_at} />
                    </td>
                    <td className="reason">{or(delivery.error)}</td>
                    <td>
                      {delivery.status === "dead" && offers(ONE) && (
                        <button type="button" disabled={!hook.enabled || busy === delivery.id} aria-label={`Send ${delivery.id} again`} onClick={() => void sendOne(delivery)}>
                          Send again
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </Table>
              {next && (
                <button type="button" onClick={more}>
                  Later ones
                </button>
              )}
              {question && <Ask question={question} onClose={() => setQuestion(null)} />}
            </>
          );
        }}
      </View>
      {/* Its only sight does not depend on a reading. */}
      {!loaded.data && <WebhookSecret of={id} />}
    </>
  );
}

/** By their ends, and until when those that were rotated sign. */
function Secrets({ hook }: { hook: Hook }) {
  return (
    <>
      {hook.secrets
        .filter(({ until }) => !until || Date.parse(until) > Date.now())
        .map(({ ends_with, until }) => (
          <span key={ends_with} className="ending">
            <code>…{ends_with}</code>
            {until && (
              <small>
                {" "}
                until <When at={until} />
              </small>
            )}
          </span>
        ))}
    </>
  );
}
