import { call, whenUnauthenticated } from "./api";
import type { Provider } from "./oidc";
import { go } from "./router";
import { kept, Store, useStore } from "./store";

/** The browser's session, and what this gateway offers. */
export interface Session {
  state: "asking" | "open" | "closed" | "away";
  userId: string;
  role: string;
  mode: "development" | "token";
  signInUrl: string | null;
  /** Where the page signs people in itself. */
  provider: Provider | null;
  /** The address of a trace, with `{trace_id}`. */
  traceUrl: string | null;
  offers: ReadonlySet<string>;
  why: string;
}

const NOBODY: Session = { state: "asking", userId: "", role: "", mode: "token", signInUrl: null, provider: null, traceUrl: null, offers: new Set(), why: "" };
export const session = new Store<Session>(NOBODY);
export const useSession = () => useStore(session);

/** Whether there is something behind a button: `POST /v1/documents`, `message.on_busy`. */
export const offers = (what: string): boolean => session.get().offers.has(what);

export const developmentUser = (): string => kept.get("user", "demo");

interface View {
  authenticated: boolean;
  user_id: string | null;
  role: string | null;
  expires_at: number | null;
  mode: "development" | "token";
  sign_in_url: string | null;
  oidc?: Provider | null;
  trace_url?: string | null;
  offers: string[];
  /** Seconds until it expires, by the server's clock. */
  left: number;
}

function take(view: View, why = ""): boolean {
  session.set({
    state: view.authenticated ? "open" : "closed",
    userId: view.user_id ?? "",
    role: view.role ?? "",
    mode: view.mode,
    signInUrl: view.sign_in_url,
    provider: view.oidc ?? null,
    traceUrl: view.trace_url ?? null,
    offers: new Set(view.offers),
    why,
  });
  if (view.authenticated && view.oidc) renewBefore(view.oidc, view.left);
  return view.authenticated;
}

async function ask(method: string, body?: unknown, headers: Record<string, string> = {}): Promise<View> {
  const response = await fetch("/session", {
    method,
    credentials: "same-origin",
    headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail ?? `The server answered ${response.status}.`);
  }
  const view: View = await response.json();
  const now = Date.parse(response.headers.get("date") ?? "") || Date.now();
  return { ...view, left: (view.expires_at ?? 0) - now / 1000 };
}

/** Find out who we are; in development become somebody. False where a person must sign in first, or nobody answers. */
export async function enter(): Promise<boolean> {
  try {
    const view = await ask("GET");
    if (view.oidc && location.pathname === "/sign-in") return await comeBack(view);
    if (view.authenticated) return take(view);
    if (view.mode === "development") return take(await ask("POST", { user: developmentUser(), role: kept.get("role", "user") }));
    if (!view.oidc) return take(view);
    const { provider } = session.get();
    const renewed = await renew(view.oidc);
    return renewed || take(view, provider ? "Your session has ended. What you wrote is kept, and answers go on." : "");
  } catch (error) {
    const away = error instanceof TypeError;
    session.set((before) => ({ ...before, state: away ? "away" : "closed", why: away ? "" : (error as Error).message }));
    return false;
  }
}

const loadOidc = async () => {
  const oidc = await import("./oidc");
  oidc.whenSignedOut(() => session.set((before) => ({ ...before, state: "closed", why: "You have signed out in another tab." })));
  return oidc;
};

/** To the identity provider's page. Raises with a sentence. */
export async function signIn(provider: Provider): Promise<void> {
  const again = session.get().state === "open";
  await (await loadOidc()).begin(provider, location.pathname === "/sign-in" ? "/" : location.pathname + location.search, again);
}

/** Back from the provider's page, at `/sign-in`. */
async function comeBack(view: View): Promise<boolean> {
  const asked = new URLSearchParams(location.search);
  if (!asked.has("code") && !asked.has("error")) {
    go("/", { replace: true });
    return take(view);
  }
  session.set((before) => ({ ...before, mode: view.mode, signInUrl: view.sign_in_url, provider: view.oidc ?? null, offers: new Set(view.offers) }));
  const { token, returnTo } = await (await loadOidc()).finish(view.oidc!);
  const opened = await ask("POST", {}, { authorization: `Bearer ${token}` });
  if (returnTo.startsWith("/console")) location.replace(returnTo);
  else go(returnTo, { replace: true });
  return take(opened);
}

/** A session shorter than this is renewed halfway. */
const MARGIN_SECONDS = 60;
let renewal = 0;

function renewBefore(provider: Provider, left: number): void {
  clearTimeout(renewal);
  // Loaded now, so that this tab can hand on what others renew with.
  void loadOidc().catch(() => {});
  const seconds = Math.max(1, left > 2 * MARGIN_SECONDS ? left - MARGIN_SECONDS : left / 2);
  const after = (time: number, what: () => void) => void (renewal = window.setTimeout(what, Math.min(time, 86_400) * 1000));
  // Where it cannot be renewed a person is told at its end, and not by what they do next.
  after(seconds, () =>
    renew(provider).then(
      (renewed) => renewed || after(left - seconds, () => void enter()),
      () => renewBefore(provider, MARGIN_SECONDS),
    ),
  );
}

/** A new session without a person: one tab at a time, and none where another has just done it. False where a person has to sign in. */
async function renew(provider: Provider): Promise<boolean> {
  const work = async () => {
    const now = await ask("GET");
    if (now.authenticated && now.left > MARGIN_SECONDS) return take(now);
    const token = await (await loadOidc()).renew(provider);
    return token !== null && take(await ask("POST", {}, { authorization: `Bearer ${token}` }));
  };
  return navigator.locks ? navigator.locks.request("everthread.renew", work) : work();
}

/** Begin a session with a token from the identity provider; the token goes to the server once and is kept nowhere here. */
export async function enterWithToken(token: string): Promise<void> {
  take(await ask("POST", {}, { authorization: `Bearer ${token.trim()}` }));
}

/** In development: be somebody else. */
export async function become(user: string, role: "user" | "admin"): Promise<void> {
  take(await ask("POST", { user, role }));
  kept.set("user", user);
  kept.set("role", role);
  kept.set("feed", undefined);
  location.assign("/");
}

/** End the session in this browser, and at the identity provider where the page signed in there. */
export async function leave(): Promise<void> {
  const { provider } = session.get();
  clearTimeout(renewal);
  // First what would renew it, so that nothing that asks meanwhile begins another.
  const end = provider && (await loadOidc().then((oidc) => oidc.signOut(provider), () => null));
  await call("DELETE", "/session").catch(() => {});
  kept.set("feed", undefined);
  location.assign(end || "/");
}

let renewing: Promise<boolean> | null = null;
whenUnauthenticated(() => {
  renewing ??= enter().finally(() => (renewing = null));
  return renewing;
});
