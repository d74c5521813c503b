/** Who is in a thread: roles, links that let others in, and the way out. */
import { type FormEvent, useEffect, useState } from "react";
import { type Thread, get, patch, post, remove } from "../lib/api";
import { CopyButton } from "../lib/copy";
import { Failure } from "../lib/failure";
import { moment } from "../lib/moments";
import { Icon } from "../lib/icons";
import { nameOf, owns } from "../lib/people";
import { openThread, place } from "../lib/router";
import { offers, session } from "../lib/session";
import { useStore } from "../lib/store";
import { say } from "../lib/toast";
import { onEntry } from "../threads/feed";
import { Face, useOthers } from "../threads/presence";
import { loadThread, quit, useThread } from "../threads/threads";
import { Dialog } from "./all";
import { dialogs, dialogThread } from "./dialogs";

type Given = "viewer" | "editor";

interface Member {
  user_id: string;
  role: "owner" | Given;
  since: string;
}

interface Invitation {
  id: string;
  role: Given;
  expires_at: string;
  max_uses: number;
  uses: number;
}

const HOUR = 3600;
const LIVES: ReadonlyArray<[number, string]> = [
  [HOUR, "an hour"],
  [24 * HOUR, "a day"],
  [7 * 24 * HOUR, "a week"],
  [30 * 24 * HOUR, "30 days"],
  [90 * 24 * HOUR, "90 days"],
];
const WHAT: Record<Member["role"], string> = { owner: "Owner", editor: "May write", viewer: "May read" };

/** What stands behind the `#` is sent to no server; the role is there to be read before one joins. */
const linkOf = (token: string, role: Given): string => `${location.origin}/join/${role}#${token}`;

export function Share() {
  const id = useStore(dialogThread);
  const thread = useThread(id);
  const [members, setMembers] = useState<Member[] | null>(null);
  const [error, setError] = useState("");
  const load = () =>
    get<{ items: Member[] }>(`/v1/threads/${id}/members`)
      .then(({ items }) => setMembers(items))
      .catch((problem: Error) => setError(problem.message));
  useEffect(() => {
    void load();
    return onEntry((entry) => {
      if (entry.thread_id === id && /^thread\.(shared|member_)/.test(entry.type)) void load();
    });
  }, [id]);
  const me = members?.find((member) => member.user_id === session.get().userId);
  const owner = me ? me.role === "owner" : owns(thread?.role);
  const act = async (what: () => Promise<unknown>) => {
    setError("");
    try {
      await what();
      await load();
      await loadThread(id);
    } catch (problem) {
      setError((problem as Error).message);
    }
  };
  return (
    <Dialog title={owner ? "Share this chat" : "People of this chat"} className="share">
      <p className="hint" dir="auto">
        {thread?.title || "New chat"}
      </p>
      <Failure text={error} />
      <section aria-busy={!members}>
        <h3>People</h3>
        <ul className="people">
          {members?.map((member) => (
            <Person
              key={member.user_id}
              member={member}
              thread={id}
              owner={owner}
              onChange={(role) => act(() => patch(`/v1/threads/${id}/members/${member.user_id}`, { role }))}
              onHandOver={() => act(() => post(`/v1/threads/${id}/members/${member.user_id}/transfer`))}
              onRemove={() => act(() => remove(`/v1/threads/${id}/members/${member.user_id}`))}
            />
          ))}
        </ul>
      </section>
      {members && owner && <Links thread={id} people={members.length} />}
      {members && !owner && me && <Leave thread={thread} id={id} />}
    </Dialog>
  );
}

interface PersonProps {
  member: Member;
  thread: string;
  owner: boolean;
  onChange: (role: Given) => void;
  onHandOver: () => void;
  onRemove: () => void;
}

function Person({ member, thread, owner, onChange, onHandOver, onRemove }: PersonProps) {
  const { user_id: id, role } = member;
  const now = useOthers(thread).find((one) => one.user_id === id);
  const [asked, setAsked] = useState<"" | "owner" | "out">("");
  // Whoever has been given the thread, or taken it, is asked nothing more.
  useEffect(() => setAsked(""), [role, owner]);
  return (
    <li data-member={id}>
      <Face id={id} typing={now?.typing} />
      <span className="grow">
        {nameOf(id)} {now && <span className="here">{now.typing ? "types" : "is here"}</span>}
        <small>
          <code title={id}>{id}</code>
        </small>
      </span>
      {owner && role !== "owner" ? (
        <span className="row">
          <select
            aria-label={`What ${nameOf(id)} may do`}
            value={role}
            disabled={!!asked}
            onChange={({ target: { value } }) => (value === "owner" ? setAsked("owner") : onChange(value as Given))}
          >
            <option value="viewer">{WHAT.viewer}</option>
            <option value="editor">{WHAT.editor}</option>
            {offers("POST /v1/threads/{thread_id}/members/{member_id}/transfer") && <option value="owner">{WHAT.owner}…</option>}
          </select>
          <button type="button" className="icon" aria-label={`Take ${nameOf(id)} out`} title="Take out" disabled={!!asked} onClick={() => setAsked("out")}>
            <Icon name="close" />
          </button>
        </span>
      ) : (
        <small>{WHAT[role]}</small>
      )}
      {asked && (
        <span className="row sure" role="group" aria-label={asked === "out" ? "Take out" : "Hand over"}>
          <small className="grow">{asked === "out" ? "What they watch ends at once; what they wrote stays." : "They own this chat then, and you may write in it. Only they can give it back."}</small>
          <button type="button" autoFocus onClick={() => setAsked("")}>
            Keep
          </button>
          <button type="button" className="danger" onClick={asked === "out" ? onRemove : onHandOver}>
            {asked === "out" ? "Take out" : "Hand over"}
          </button>
        </span>
      )}
    </li>
  );
}

/** Invitations: made, copied, taken back. */
function Links({ thread, people }: { thread: string; people: number }) {
  const [items, setItems] = useState<Invitation[]>([]);
  const [role, setRole] = useState<Given>("viewer");
  const [life, setLife] = useState(7 * 24 * HOUR);
  const [uses, setUses] = useState(1);
  const [made, setMade] = useState<(Invitation & { token: string }) | null>(null);
  const [error, setError] = useState("");
  const path = `/v1/threads/${thread}/invitations`;
  const load = () =>
    get<{ items: Invitation[] }>(path)
      .then((found) => setItems(found.items))
      .catch((problem: Error) => setError(problem.message));
  // Somebody who comes in uses one up.
  useEffect(() => void load(), [thread, people]);
  const act = async (what: () => Promise<void>) => {
    setError("");
    try {
      await what();
      await load();
    } catch (problem) {
      setError((problem as Error).message);
    }
  };
  const make = (event: FormEvent) => {
    event.preventDefault();
    void act(async () => setMade(await post(path, { role, expires_in_seconds: life, max_uses: uses })));
  };
  return (
    <section>
      <h3>Links that let others in</h3>
      <form onSubmit={make} className="fields">
        <label>
          Who has it
          <select value={role} onChange={(event) => setRole(event.target.value as Given)}>
            <option value="viewer">may read</option>
            <option value="editor">may write</option>
          </select>
        </label>
        <label>
          For
          <select value={life} onChange={(event) => setLife(Number(event.target.value))}>
            {LIVES.map(([seconds, name]) => (
              <option key={seconds} value={seconds}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          People
          <input type="number" min={1} max={100} required value={uses} onChange={(event) => setUses(Number(event.target.value))} />
        </label>
        <button type="submit" className="primary">
          <Icon name="link" /> Make a link
        </button>
      </form>
      <Failure text={error} />
      {made && (
        <div className="card" role="status">
          <div className="row">
            <input readOnly aria-label="Link" value={linkOf(made.token, made.role)} onFocus={(event) => event.target.select()} />
            <CopyButton text={linkOf(made.token, made.role)} label="Copy" shown />
          </div>
          <small>Shown this once: copy it now, and give it to nobody but those who shall come in.</small>
        </div>
      )}
      {items.length > 0 && (
        <ul className="people links">
          {items.map((item) => (
            <li key={item.id}>
              <Icon name="link" />
              <span className="grow">
                {WHAT[item.role]}
                <small>
                  {item.uses} of {item.max_uses} used, until {moment(item.expires_at)}
                </small>
              </span>
              <button
                type="button"
                onClick={() =>
                  act(async () => {
                    await remove(`${path}/${item.id}`);
                    if (made?.id === item.id) setMade(null);
                  })
                }
              >
                Take back
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Leave({ thread, id }: { thread: Thread | undefined; id: string }) {
  const [sure, setSure] = useState(false);
  return (
    <section>
      {sure ? (
        <div className="row">
          <span className="grow">Leave “{thread?.title || "this chat"}”? What you wrote stays there.</span>
          <button type="button" autoFocus onClick={() => setSure(false)}>
            Stay
          </button>
          <button
            type="button"
            className="danger"
            onClick={() => {
              dialogs.set("");
              if (place.get().thread === id) openThread(null, { replace: true });
              quit(id).catch((error: Error) => say(error.message));
            }}
          >
            Leave
          </button>
        </div>
      ) : (
        <button type="button" className="danger" onClick={() => setSure(true)}>
          Leave this chat
        </button>
      )}
    </section>
  );
}
