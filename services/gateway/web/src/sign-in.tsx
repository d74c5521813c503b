import { useState } from "react";
import { Failure } from "./lib/failure";
import { enter, enterWithToken, signIn, useSession } from "./lib/session";

/** With an identity provider: to its page, or a token by hand. The token becomes a cookie that no script can read. */
export function SignIn() {
  const { mode, provider, signInUrl, why } = useSession();
  const [token, setToken] = useState("");
  const [error, setError] = useState(why);
  const [busy, setBusy] = useState(false);
  const attempt = async (what: () => Promise<void>) => {
    setBusy(true);
    setError("");
    try {
      await what();
    } catch (problem) {
      setError((problem as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const elsewhere = !!provider || !!signInUrl;
  const paste = (
    <>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(() => enterWithToken(token));
        }}
      >
        <label>
          Paste a token of your identity provider
          <input type="password" autoComplete="off" value={token} onChange={(event) => setToken(event.target.value)} required />
        </label>
        <button type="submit" className={elsewhere ? "" : "primary"} disabled={busy || !token.trim()}>
          Use it
        </button>
      </form>
      <p>
        <small>It is checked by the server and kept in a cookie that no script can read, until it expires.</small>
      </p>
    </>
  );
  return (
    <main className="empty sign-in">
      <img src="/favicon.svg" width="48" height="48" alt="" />
      <h1>Sign in to Everthread</h1>
      <Failure text={error} />
      {mode === "development" ? (
        <button type="button" className="primary" onClick={() => void enter()}>
          Try again
        </button>
      ) : (
        <>
          {provider && (
            <button type="button" className="primary" disabled={busy} onClick={() => void attempt(() => signIn(provider))}>
              Sign in at {new URL(provider.issuer).host}
            </button>
          )}
          {signInUrl && (
            <a className={`button ${provider ? "" : "primary"}`} href={`${signInUrl}${signInUrl.includes("?") ? "&" : "?"}return_to=${encodeURIComponent(location.href)}`}>
              Sign in
            </a>
          )}
          {elsewhere ? (
            <details>
              <summary>With a token</summary>
              {paste}
            </details>
          ) : (
            paste
          )}
        </>
      )}
    </main>
  );
}
