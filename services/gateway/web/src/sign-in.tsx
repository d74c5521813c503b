import { useState } from "react";
import { enter, enterWithToken, useSession } from "./lib/session";

/** With an identity provider: to its page, or a token by hand. The token becomes a cookie that no script can read. */
export function SignIn() {
  const { mode, signInUrl, why } = useSession();
  const [token, setToken] = useState("");
  const [error, setError] = useState(why);
  const [busy, setBusy] = useState(false);
  return (
    <main className="empty sign-in">
      <img src="/favicon.svg" width="48" height="48" alt="" />
      <h1>Sign in to Everthread</h1>
      {mode === "development" ? (
        <button type="button" className="primary" onClick={() => void enter()}>
          Try again
        </button>
      ) : (
        <>
          {signInUrl && (
            <a className="button primary" href={`${signInUrl}${signInUrl.includes("?") ? "&" : "?"}return_to=${encodeURIComponent(location.href)}`}>
              Sign in
            </a>
          )}
          <form
            onSubmit={async (event) => {
              event.preventDefault();
              setBusy(true);
              setError("");
              try {
                await enterWithToken(token);
              } catch (problem) {
                setError((problem as Error).message);
              } finally {
                setBusy(false);
              }
            }}
          >
            <label>
              {signInUrl ? "Or paste a token of your identity provider" : "Paste a token of your identity provider"}
              <input type="password" autoComplete="off" value={token} onChange={(event) => setToken(event.target.value)} required />
            </label>
            <button type="submit" className="primary" disabled={busy || !token.trim()}>
              Use it
            </button>
          </form>
          <p>
            <small>It is checked by the server and kept in a cookie that no script can read, until it expires.</small>
          </p>
        </>
      )}
      {error && (
        <p className="failure" role="alert">
          {error}
        </p>
      )}
    </main>
  );
}
