/** A link that lets somebody into a thread: what it is, and whether one wants to. */
import { useState } from "react";
import { post } from "../lib/api";
import { Failure } from "../lib/failure";
import { forgetInvitation, invitation } from "../lib/invitation";
import { openThread, place } from "../lib/router";
import { useSession } from "../lib/session";
import { useStore } from "../lib/store";
import { say } from "../lib/toast";
import { loadThread } from "./threads";

export default function Join() {
  const { userId } = useSession();
  const token = useStore(invitation);
  const [joining, setJoining] = useState(false);
  const [refused, setRefused] = useState({ token: "", why: "" });
  const error = !token ? "This address has no invitation in it: its end, behind the #, is missing. Ask for the whole link." : refused.token === token ? refused.why : "";
  const role = place.get().path.split("/")[2] ?? "";
  const join = async () => {
    setJoining(true);
    setRefused({ token: "", why: "" });
    try {
      const joined = await post<{ thread_id: string; title: string; role: string }>("/v1/invitations/accept", { token });
      await loadThread(joined.thread_id);
      openThread(joined.thread_id, { replace: true });
      forgetInvitation();
      say(`You are in “${joined.title || "the chat"}” as ${joined.role === "editor" ? "an" : "a"} ${joined.role}.`);
    } catch (problem) {
      setRefused({ token, why: (problem as Error).message });
      setJoining(false);
    }
  };
  return (
    <div className="empty join">
      <h2>You are invited to a chat</h2>
      <p>
        {role === "viewer" && "As a viewer you read it and watch its answers as they are written. "}
        {role === "editor" && "As an editor you read it and write in it; what you ask is counted to you. "}
        Everybody in it can see that you are, and when you are there. You can leave at any time.
      </p>
      <p>
        <small>
          You come in as <code>{userId}</code>.
        </small>
      </p>
      <Failure text={error} />
      <div className="row">
        <button type="button" className="primary" disabled={joining || !token} onClick={join}>
          Join
        </button>
        <button
          type="button"
          onClick={() => {
            openThread(null, { replace: true });
            forgetInvitation();
          }}
        >
          Not now
        </button>
      </div>
    </div>
  );
}
