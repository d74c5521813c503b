/** A link that lets somebody into a thread: what it is, and whether one wants to. */
import { useEffect, useState } from "react";
import { type ApiError, post } from "../lib/api";
import { Failure } from "../lib/failure";
import { forgetInvitation, invitation } from "../lib/invitation";
import { moment } from "../lib/moments";
import { nameOf } from "../lib/people";
import { openThread, place } from "../lib/router";
import { useSession } from "../lib/session";
import { useStore } from "../lib/store";
import { say } from "../lib/toast";
import { loadThread } from "./threads";

interface Preview {
  title: string;
  invited_by: string;
  role: string;
  expires_at: string;
  own_role: string | null;
}

/** What is known of a link: `over` where it lets nobody in. */
interface Looked {
  token: string;
  found?: Preview;
  over?: string;
  why?: string;
}

const MEANS: Record<string, string> = {
  viewer: "As a viewer you read it and watch its answers as they are written. ",
  editor: "As an editor you read it and write in it; what you ask is counted to you. ",
};
const aRole = (role: string) => `${role === "viewer" ? "a" : "an"} ${role}`;

export default function Join() {
  const { userId } = useSession();
  const token = useStore(invitation);
  const [joining, setJoining] = useState(false);
  const [looked, setLooked] = useState<Looked>({ token: "" });
  useEffect(() => {
    if (!token) return;
    let current = true;
    const know = (what: Omit<Looked, "token">) => current && setLooked({ token, ...what });
    post<Preview>("/v1/invitations/preview", { token }).then(
      (found) => know({ found }),
      // Where it cannot be looked at just now, it can be accepted all the same.
      (problem: ApiError) => know(problem.status === 410 ? { over: problem.message } : { why: problem.message }),
    );
    return () => void (current = false);
  }, [token]);
  const now: Looked | null = looked.token === token ? looked : null;
  const found = now?.found;
  const over = !token ? "This address has no invitation in it: its end, behind the #, is missing. Ask for the whole link." : now?.over;
  const role = found?.role ?? place.get().path.split("/")[2] ?? "";
  const join = async () => {
    setJoining(true);
    setLooked({ token, found });
    try {
      const joined = await post<{ thread_id: string; title: string; role: string }>("/v1/invitations/accept", { token });
      await loadThread(joined.thread_id);
      openThread(joined.thread_id, { replace: true });
      forgetInvitation();
      say(`You are in “${joined.title || "the chat"}” as ${aRole(joined.role)}.`);
    } catch (problem) {
      const { status, message } = problem as ApiError;
      setLooked(status === 410 ? { token, over: message } : { token, found, why: message });
      setJoining(false);
    }
  };
  const leave = () => {
    openThread(null, { replace: true });
    forgetInvitation();
  };
  if (over) {
    return (
      <div className="empty join">
        <h2>You cannot come in by this link</h2>
        <Failure text={over} />
        <button type="button" className="primary" onClick={leave}>
          To my chats
        </button>
      </div>
    );
  }
  return (
    <div className="empty join" aria-busy={!now}>
      <h2>You are invited to a chat</h2>
      {found && (
        <>
          <p className="what" dir="auto">
            {found.title || "A chat without a title"}
          </p>
          <p>
            {nameOf(found.invited_by)} invites you as {aRole(found.role)}. The link is good until {moment(found.expires_at)}.
            {found.own_role && ` You are in it already, as ${aRole(found.own_role)}.`}
          </p>
        </>
      )}
      <p>
        {MEANS[role]}
        Everybody in it can see that you are, and when you are there. You can leave at any time.
      </p>
      <p>
        <small>
          You come in as <code>{userId}</code>.
        </small>
      </p>
      <Failure text={now?.why ?? ""} />
      <div className="row">
        <button type="button" className="primary" disabled={joining || !now} onClick={join}>
          {found?.own_role ? "Open it" : "Join"}
        </button>
        <button type="button" onClick={leave}>
          Not now
        </button>
      </div>
    </div>
  );
}
