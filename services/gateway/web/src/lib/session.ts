import { call, whenUnauthenticated } from "./api";
import { kept, Store, useStore } from "./store";

/** The browser's session, and what this gateway offers. */
export interface Session {
  state: "asking" | "open" | "closed" | "away";
  userId: string;
  role: string;
  mode: "development" | "token";
  signInUrl: string | null;
  offers: ReadonlySet<string>;
  why: string;
}

const NOBODY: Session = { state: "asking", userId: "", role: "", mode: "token", signInUrl: null, offers: new Set(), why: "" };
export const session = new Store<Session>(NOBODY);
export const useSession = () => useStore(session);

/** Whether there is something behind a button: `POST /v1/documents`, `message.on_busy`. */
export const offers = (what: string): boolean => session.get().offers.has(what);

export const developmentUser = (): string => kept.get("user", "demo");

interface View {
  authenticated: boolean;
  user_id: string | null;
  role: string | null;
  mode: "development" | "token";
  sign_in_url: string | null;
  offers: string[];
}

function take(view: View, why = ""): boolean {
  session.set({
    state: view.authenticated ? "open" : "closed",
    userId: view.user_id ?? "",
    role: view.role ?? "",
    mode: view.mode,
    signInUrl: view.sign_in_url,
    offers: new Set(view.offers),
    why,
  });
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
  return response.json();
}

/** Find out who we are; in development become somebody. False where a person must sign in first, or nobody answers. */
export async function enter(): Promise<boolean> {
  try {
    const view = await ask("GET");
    if (view.authenticated || view.mode !== "development") return take(view);
    return take(await ask("POST", { user: developmentUser(), role: kept.get("role", "user") }));
  } catch (error) {
    const away = error instanceof TypeError;
    session.set((before) => ({ ...before, state: away ? "away" : "closed", why: away ? "" : (error as Error).message }));
    return false;
  }
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

export async function leave(): Promise<void> {
  await call("DELETE", "/session").catch(() => {});
  kept.set("feed", undefined);
  location.assign("/");
}

let renewing: Promise<boolean> | null = null;
whenUnauthenticated(() => {
  renewing ??= enter().finally(() => (renewing = null));
  return renewing;
});
