/** The console's frame: who may see it, where one is, and the view of that place. */
import { useEffect, useState, type ReactNode } from "react";
import { SignIn } from "../sign-in";
import { usePlace } from "../lib/router";
import { developmentUser, enter, session, useSession } from "../lib/session";
import { pause } from "../lib/sse";
import { kept } from "../lib/store";
import { applyTheme, type Theme } from "../lib/theme";
import { Boundary } from "../boundary";
import { Budgets } from "./budgets";
import { Cost } from "./cost";
import { DeadLetters } from "./dead-letters";
import { OverviewView } from "./overview";
import { Failure, Link } from "./parts";
import { RolloutView } from "./rollout";
import { Run } from "./run";
import { Runs } from "./runs";
import { StreamsView } from "./streams";
import { Webhook } from "./webhook";
import { Webhooks } from "./webhooks";
import { WorkersView } from "./workers";

/** Name, address, label, the call behind it, the view. */
const VIEWS: ReadonlyArray<readonly [string, string, string, () => ReactNode]> = [
  ["", "Overview", "GET /v1/admin/overview", () => <OverviewView />],
  ["runs", "Runs", "GET /v1/admin/runs", () => <Runs />],
  ["workers", "Workers", "GET /v1/admin/workers", () => <WorkersView />],
  ["streams", "Streams", "GET /v1/admin/streams", () => <StreamsView />],
  ["dead-letters", "Dead letters", "GET /v1/admin/dead-letters", () => <DeadLetters />],
  ["webhooks", "Webhooks", "GET /v1/webhooks", () => <Webhooks />],
  ["rollout", "Rollout", "GET /v1/admin/rollout", () => <RolloutView />],
  ["cost", "Cost", "GET /v1/admin/usage", () => <Cost />],
  ["budgets", "Budgets", "GET /v1/admin/budgets", () => <Budgets />],
];

/** Of a section that has one: what a single thing is called, and its view. */
const ITEMS: Record<string, readonly [string, (id: string) => ReactNode]> = {
  runs: ["Run", (id) => <Run id={id} />],
  webhooks: ["Webhook", (id) => <Webhook id={id} />],
};

export function Console() {
  const { state, role } = useSession();
  useEffect(() => {
    applyTheme(kept.get("theme", "system"));
    void begin();
  }, []);
  if (state === "open") return role === "admin" ? <Frame /> : <NotAdmin />;
  if (state === "closed") return <SignIn />;
  return (
    <main className="empty" aria-busy="true">
      {state === "away" && (
        <>
          <h1>The server does not answer</h1>
          <p>The console tries again by itself.</p>
        </>
      )}
    </main>
  );
}

async function begin(): Promise<void> {
  for (let n = 0; ; n++) {
    if (await enter()) return;
    if (session.get().state === "closed") return;
    await pause(Math.min(500 * 2 ** n, 5000));
  }
}

/** In development: the same person with another role, and the page anew. Elsewhere the role is the token's, and the server
 * gives no session by name. */
async function takeRole(role: "user" | "admin"): Promise<void> {
  const response = await fetch("/session", {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user: developmentUser(), role }),
  });
  if (!response.ok) {
    const problem = (await response.json().catch(() => ({}))) as { detail?: string };
    throw new Error(problem.detail ?? `The server answered ${response.status}.`);
  }
  if (role === "admin") location.reload();
  else location.assign("/");
}

function NotAdmin() {
  const { mode, userId, role } = useSession();
  const [error, setError] = useState("");
  const [token, setToken] = useState(false);
  if (token) return <SignIn />;
  return (
    <main className="empty">
      <h1>The console is for administrators</h1>
      <p>
        You are signed in as <code>{userId}</code> with the role <code>{role}</code>; the console needs the role <code>admin</code>.
      </p>
      {mode === "development" ? (
        <>
          <button type="button" className="primary" onClick={() => takeRole("admin").catch((problem: Error) => setError(problem.message))}>
            Open it as an administrator
          </button>
          <p>
            <small>This is a development mesh on this machine: whoever opens the page may have any role here, in this browser, for twelve hours.</small>
          </p>
        </>
      ) : (
        <button type="button" onClick={() => setToken(true)}>
          Sign in as somebody else
        </button>
      )}
      {error && <Failure what="That was not possible." why={error} />}
      <p>
        <a href="/">To the chat</a>
      </p>
    </main>
  );
}

function Frame() {
  const { path } = usePlace();
  const { userId, mode, offers } = useSession();
  const [, section = "", item = ""] = path.replace(/\/$/, "").match(/^\/console(?:\/([^/]*))?(?:\/([^/]*))?$/) ?? [];
  const there = VIEWS.filter(([, , call]) => offers.has(call));
  const view = there.find(([name]) => name === section) ?? (section ? undefined : there[0]);
  const single = item && view ? ITEMS[section] : undefined;
  const label = single?.[0] ?? view?.[1] ?? "Console";
  useEffect(() => {
    document.title = `${label} · Console · Everthread`;
    document.querySelector<HTMLElement>("#view h1")?.focus({ preventScroll: true });
    document.getElementById("view")?.scrollTo(0, 0);
  }, [label, item]);
  return (
    <div className="console">
      <a className="skip" href="#view">
        To the view
      </a>
      <nav aria-label="Console">
        <a className="brand" href="/" title="To the chat">
          <img src="/favicon.svg" width="22" height="22" alt="" /> Everthread
        </a>
        <ul>
          {there.map(([name, text]) => (
            <li key={name}>
              <Link to={name ? `/console/${name}` : "/console"} aria-current={view?.[0] === name ? "page" : undefined}>
                {text}
              </Link>
            </li>
          ))}
        </ul>
        <footer>
          <Colours />
          <small>
            <code>{userId}</code> · admin
          </small>
          {mode === "development" && (
            <button type="button" className="quiet" onClick={() => void takeRole("user").catch(() => location.reload())}>
              Back to the role user
            </button>
          )}
          <a href="/">To the chat</a>
        </footer>
      </nav>
      <main id="view" tabIndex={-1}>
        <Boundary what="This view" key={path}>
          {single ? single[1](item) : view ? view[3]() : <Nothing empty={there.length === 0} />}
        </Boundary>
      </main>
    </div>
  );
}

function Nothing({ empty }: { empty: boolean }) {
  return (
    <div className="empty">
      <h1>{empty ? "There is nothing to show" : "There is no such view"}</h1>
      <p>{empty ? "This gateway offers no calls for administrators." : "This gateway does not offer it, or the address is mistaken."}</p>
      <p>
        <Link to="/console">To the overview</Link>
      </p>
    </div>
  );
}

function Colours() {
  const [theme, setTheme] = useState<Theme>(kept.get("theme", "system"));
  return (
    <label className="colours">
      <span className="unseen">Colours</span>
      <select
        value={theme}
        onChange={(event) => {
          const value = event.target.value as Theme;
          kept.set("theme", value);
          applyTheme(value);
          setTheme(value);
        }}
      >
        <option value="system">System colours</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}
