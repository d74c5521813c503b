/** Being told by the browser when an answer is there or waits, and this page is not open. */
import { get, post, remove } from "./api";
import { session } from "./session";
import { kept } from "./store";

/** Why it cannot be had here, or whether it is on. */
export type Push = "on" | "off" | "insecure" | "unable" | "forbidden" | "unconfigured";

const WORKER = "/service-worker.js";

interface Kept {
  user: string;
  endpoint: string;
  id: string;
}

interface Listed {
  public_key: string | null;
  items: Array<{ id: string; with_text: boolean }>;
}

interface Policies {
  createPolicy: (name: string, rules: { createScriptURL: () => string }) => { createScriptURL: (of: string) => string };
}

let address: string | null = null;
/** The one script address that the page's policy lets become a worker. */
function workerAddress(): string {
  const policies = (globalThis as unknown as { trustedTypes?: Policies }).trustedTypes;
  address ??= policies ? policies.createPolicy("service-worker", { createScriptURL: () => WORKER }).createScriptURL("") : WORKER;
  return address;
}

/** What is so now, and whether notifications may hold text. Raises what the API raises. */
export async function pushState(): Promise<{ state: Push; withText: boolean }> {
  const nothing = (state: Push) => ({ state, withText: false });
  if (!isSecureContext) return nothing("insecure");
  if (!("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) return nothing("unable");
  const listed = await get<Listed>("/v1/me/push");
  if (!listed.public_key) return nothing("unconfigured");
  if (Notification.permission === "denied") return nothing("forbidden");
  const known = kept.get<Kept | null>("push", null);
  const subscription = await (await navigator.serviceWorker.getRegistration("/"))?.pushManager.getSubscription();
  if (!subscription || known?.user !== session.get().userId) return nothing("off");
  // The push service may have given this browser another address since; the server forgets those that it could not reach.
  const id = known.endpoint === subscription.endpoint ? known.id : await register(subscription, false);
  const device = listed.items.find((item) => item.id === id);
  return { state: device || id !== known.id ? "on" : "off", withText: device?.with_text ?? false };
}

async function register(subscription: PushSubscription, withText: boolean): Promise<string> {
  const { endpoint, keys } = subscription.toJSON();
  const { id } = await post<{ id: string }>("/v1/me/push", { endpoint, keys, with_text: withText });
  kept.set("push", { user: session.get().userId, endpoint: subscription.endpoint, id } satisfies Kept);
  return id;
}

/** Ask the browser, and tell the server. Raises an Error whose message says what to do. */
export async function startPush(withText: boolean): Promise<void> {
  const permission = await Notification.requestPermission();
  if (permission === "denied") throw new Error("This browser was told to show no notifications of this page; allow them in its settings for this address.");
  if (permission !== "granted") throw new Error("The browser's question was not answered; nothing was changed.");
  const { public_key: key } = await get<Listed>("/v1/me/push");
  await navigator.serviceWorker.register(workerAddress(), { scope: "/" });
  const registration = await navigator.serviceWorker.ready;
  const before = await registration.pushManager.getSubscription();
  // One of another person, or made for a key that the operator has replaced since.
  if (before && kept.get<Kept | null>("push", null)?.user !== session.get().userId) await before.unsubscribe();
  let subscription: PushSubscription;
  try {
    subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  } catch (error) {
    if ((error as Error).name !== "InvalidStateError") throw new Error(`The browser could not reach its push service, so nothing was changed. It says: ${(error as Error).message}`);
    await (await registration.pushManager.getSubscription())?.unsubscribe();
    subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  }
  await register(subscription, withText);
}

/** No more in this browser; also before somebody signs out of it. Idempotent. */
export async function stopPush(): Promise<void> {
  const known = kept.get<Kept | null>("push", null);
  if (!("serviceWorker" in navigator)) return;
  const subscription = await (await navigator.serviceWorker.getRegistration("/"))?.pushManager?.getSubscription();
  const endpoint = subscription?.endpoint ?? known?.endpoint;
  if (endpoint) await remove(`/v1/me/push?endpoint=${encodeURIComponent(endpoint)}`);
  await subscription?.unsubscribe();
  kept.set("push", undefined);
}
