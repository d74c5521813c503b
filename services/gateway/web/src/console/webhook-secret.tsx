import { useEffect, useId, useRef } from "react";
import { CopyButton } from "../lib/copy";
import { session } from "../lib/session";
import { Store, useStore } from "../lib/store";
import type { Webhook } from "./api";
import { When } from "./parts";

/** Secrets that were made a moment ago, by webhook. They are in no storage: once one is dismissed, or the tab is closed, nobody
 * sees it again. Until then it outlives a look at another view. */
const fresh = new Store<Record<string, { hook: Webhook; by: string } | undefined>>({});
const put = (id: string, value: { hook: Webhook; by: string } | undefined) => fresh.set((before) => ({ ...before, [id]: value }));

/** Have the secret of an answer shown, at its webhook. */
export const showSecret = (hook: Webhook): void => put(hook.id, { hook, by: session.get().userId });

export function WebhookSecret({ of }: { of: string }) {
  const now = useStore(fresh)[of];
  const shown = now?.by === session.get().userId ? now.hook : null;
  const ref = useRef<HTMLElement>(null);
  const id = useId();
  const secret = shown?.secret;
  useEffect(() => {
    if (!secret) return;
    // After a dialog that closes, or a view that opens, has put the keyboard elsewhere.
    const frame = requestAnimationFrame(() => ref.current?.focus());
    const stay = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", stay);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("beforeunload", stay);
    };
  }, [secret]);
  if (!shown || !secret) return null;
  const old = shown.secrets[1];
  return (
    <section ref={ref} className="secret" tabIndex={-1} aria-labelledby={`${id}-title`} aria-describedby={`${id}-text`}>
      <h2 id={`${id}-title`}>{old ? "The new secret" : "The secret"}</h2>
      <p id={`${id}-text`}>
        Give it to the receiver now: it will not be shown again. If it is lost, rotate it.
        {old?.until && (
          <>
            {" "}
            Until <When at={old.until} /> the old one signs as well.
          </>
        )}
      </p>
      <code>{secret}</code>
      <div className="row">
        <CopyButton text={secret} label="Copy the secret" shown />
        <button
          type="button"
          onClick={() => {
            put(of, undefined);
            document.querySelector<HTMLElement>("#view h1")?.focus();
          }}
        >
          I have it
        </button>
      </div>
    </section>
  );
}
