/** Notifications of the browser, asked for by the person and never by the page. */
import { useEffect, useState } from "react";
import { Failure } from "../lib/failure";
import { type Push, pushState, startPush, stopPush } from "../lib/push";

const WHY: Partial<Record<Push, string>> = {
  insecure: "Browsers notify only for pages opened over https, or on this machine by localhost; this address is neither.",
  unable: "This browser has no push messages. On a phone, add this page to the home screen first.",
  unconfigured: "Nothing is pushed from this installation: its operator has set no key for it.",
  forbidden: "This browser was told to show no notifications of this page. Allow them in its settings for this address, then come back here.",
};

export function Notifications() {
  const [state, setState] = useState<Push | "">("");
  const [withText, setWithText] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const look = () =>
    pushState()
      .then((found) => {
        setState(found.state);
        if (found.state === "on") setWithText(found.withText);
      })
      .catch((problem: Error) => setError(problem.message));
  useEffect(() => void look(), []);
  const act = async (what: () => Promise<void>) => {
    setBusy(true);
    setError("");
    try {
      await what();
    } catch (problem) {
      setError((problem as Error).message);
    } finally {
      await look();
      setBusy(false);
    }
  };
  const why = state && WHY[state];
  return (
    <section aria-busy={!state}>
      <h3>Notifications</h3>
      {why ? (
        <p className="hint">{why}</p>
      ) : (
        <>
          <p className="hint">This browser tells you when an answer is there, failed, or waits for you, also when this page is closed. Not while you look at that chat.</p>
          <label className="check">
            <input
              type="checkbox"
              checked={withText}
              disabled={busy}
              onChange={(event) => {
                const wanted = event.target.checked;
                setWithText(wanted);
                if (state === "on") void act(() => startPush(wanted));
              }}
            />{" "}
            with the beginning of the answer
          </label>
          {state === "on" ? (
            <div className="row">
              <button type="button" disabled={busy} onClick={() => act(stopPush)}>
                Notify me no more
              </button>
              <small role="status">On in this browser.</small>
            </div>
          ) : (
            <div className="row">
              <button type="button" disabled={busy || !state} onClick={() => act(() => startPush(withText))}>
                Notify me
              </button>
            </div>
          )}
        </>
      )}
      <Failure text={error} />
    </section>
  );
}
