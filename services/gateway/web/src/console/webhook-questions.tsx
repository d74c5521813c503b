/** What is asked before a webhook is changed, and what happens then. */
import { ApiError, patch, post, remove } from "../lib/api";
import { count } from "../lib/format";
import { go } from "../lib/router";
import { say } from "../lib/toast";
import type { Webhook } from "./api";
import type { Question } from "./parts";
import { showSecret } from "./webhook-secret";

const OVERLAPS = [
  [0, "none: the old one signs no more"],
  [3600, "an hour"],
  [86_400, "a day"],
  [3 * 86_400, "three days"],
  [7 * 86_400, "a week"],
] as const;

export const pathOf = (id: string): string => `/v1/webhooks/${encodeURIComponent(id)}`;

export const enabling = (hook: Webhook, done: () => void): Question => ({
  title: "Enable this webhook?",
  text: <p>What waits for it is sent at once, and what happens from now on. What happened while it was not enabled is not sent. If its receiver is still gone, it is paused again.</p>,
  action: "Enable",
  run: async () => {
    await patch(pathOf(hook.id), { enabled: true });
    say("The webhook is enabled.");
    done();
  },
});

export const disabling = (hook: Webhook, done: () => void): Question => ({
  title: "Disable this webhook?",
  text: <p>Nothing is sent to it until it is enabled. What is queued waits, for up to fourteen days; what happens meanwhile is not queued, and it will never hear of it.</p>,
  action: "Disable",
  run: async () => {
    await patch(pathOf(hook.id), { enabled: false });
    say("The webhook is disabled.");
    done();
  },
});

export function rotating(hook: Webhook, done: () => void): Question {
  let overlap = 86_400;
  return {
    title: "Rotate its secret?",
    text: (
      <>
        <p>A new secret is made, and shown once. During the overlap each delivery is signed by the old one as well, so that the receiver can change over when it is ready, and refuses nothing. After it only the new one signs.</p>
        <label>
          Overlap
          <select defaultValue={overlap} onChange={(event) => (overlap = Number(event.target.value))}>
            {OVERLAPS.map(([seconds, text]) => (
              <option key={seconds} value={seconds}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <p className="note">Without an overlap, which is for a secret that got into wrong hands, the receiver refuses what it is sent until it has the new one; that is tried again.</p>
      </>
    ),
    action: "Rotate",
    run: async () => {
      try {
        showSecret(await post<Webhook>(`${pathOf(hook.id)}/secret`, { overlap_seconds: overlap }));
      } catch (error) {
        if (!(error instanceof ApiError && error.offline)) throw error;
        throw new Error(`${error.message} Whether the secret was rotated is not certain: rotate it again, so that somebody has seen the one that signs.`);
      } finally {
        done();
      }
    },
  };
}

export const deleting = (hook: Webhook): Question => ({
  title: "Delete this webhook?",
  text: (
    <>
      <p>
        <code className="address">{hook.url}</code>
      </p>
      <p>
        {hook.queue.waiting === 0 ? "Nothing is queued for it now. " : hook.queue.waiting === 1 ? "One delivery that is queued for it is dropped and never sent. " : `The ${count(hook.queue.waiting)} deliveries that are queued for it are dropped and never sent. `}
        Its dead deliveries can no longer be sent again, how its deliveries went is no longer shown, and its secret is forgotten. This cannot be undone.
      </p>
      {hook.enabled && <p>To stop it for a while, disable it instead.</p>}
    </>
  ),
  action: "Delete",
  danger: true,
  run: async () => {
    await remove(pathOf(hook.id));
    say("The webhook is deleted.");
    go("/console/webhooks", { replace: true });
  },
});
