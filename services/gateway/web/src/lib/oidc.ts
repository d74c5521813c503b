/** The page as a client of an identity provider: OpenID Connect's authorization code with PKCE. Loaded where it is needed.
 *
 * The access token goes to the server at once and becomes a cookie that no script can read. What is kept here is what a session
 * is renewed with, in this tab's own storage: it outlives a reload and ends with the last tab. Tabs hand it on to each other, since
 * a provider that gives a new one at each use takes a second use of the old one for theft. */
import * as oauth from "oauth4webapi";

export interface Provider {
  issuer: string;
  client_id: string;
  scopes: string;
  /** Where this page may ask it: what the server found in the provider's discovery document; the policy allows these and no others. */
  origins: string[];
}

/** A sentence for a person. */
export class SignInError extends Error {}

interface Begun {
  state: string;
  nonce: string;
  verifier: string;
  returnTo: string;
}

const BEGUN = "everthread.sign-in";
const REFRESH = "everthread.refresh";
const ASK_MILLISECONDS = 300;
const redirectUri = () => `${location.origin}/sign-in`;

type Told = { kind: "ask" } | { kind: "now"; was: string; refresh: string } | { kind: "out" };
const tabs = new BroadcastChannel("everthread.sign-in");
let onOut = () => {};
/** What to do when another tab has signed out. */
export const whenSignedOut = (handler: () => void): void => void (onOut = handler);

tabs.onmessage = ({ data }: MessageEvent<Told>) => {
  const own = kept();
  if (data.kind === "ask" && own) tabs.postMessage({ kind: "now", was: "", refresh: own } satisfies Told);
  else if (data.kind === "now" && (!own || own === data.was)) sessionStorage.setItem(REFRESH, data.refresh);
  else if (data.kind === "out") {
    sessionStorage.removeItem(REFRESH);
    onOut();
  }
};

const kept = (): string => sessionStorage.getItem(REFRESH) ?? "";

function keep(refresh: string, was: string): void {
  sessionStorage.setItem(REFRESH, refresh);
  tabs.postMessage({ kind: "now", was, refresh } satisfies Told);
}

// This tab may be another of somebody who signed in before: it shall go on when that one is closed.
if (!kept()) tabs.postMessage({ kind: "ask" } satisfies Told);

async function fromOtherTabs(): Promise<string> {
  tabs.postMessage({ kind: "ask" } satisfies Told);
  for (let n = 0; n < 10 && !kept(); n++) await new Promise((done) => setTimeout(done, ASK_MILLISECONDS / 10));
  return kept();
}

const client = (provider: Provider): oauth.Client => ({ client_id: provider.client_id });
/** A provider at http:// is one on this machine: the server refuses any other. */
const options = (provider: Provider) => ({ [oauth.allowInsecureRequests]: provider.issuer.startsWith("http:"), signal: AbortSignal.timeout(10_000) });

async function discover(provider: Provider): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(provider.issuer);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...options(provider) }));
  if (!server.authorization_endpoint || !server.token_endpoint) throw new SignInError(`${issuer.host} names no address to sign in at.`);
  const token = usable(provider, server.token_endpoint);
  if (!provider.origins.includes(token.origin)) {
    throw new SignInError(
      `${issuer.host} gives tokens at ${token.origin}, and this page may ask ${provider.origins.join(" and ")} only: this server could not read at ${issuer.host} where its tokens are given. Reload the page; if this stays, the gateway's log says why (oidc_discovery.fetch_failed).`,
    );
  }
  usable(provider, server.authorization_endpoint);
  return server;
}

/** An address that the provider names. Raises SignInError for one that nothing is sent to. */
function usable(provider: Provider, text: string): URL {
  const named = URL.canParse(text) ? new URL(text) : null;
  const issuer = new URL(provider.issuer);
  const here = (at: URL) => /^(localhost|127\.[\d.]+|\[::1\])$/.test(at.hostname);
  const safe = named && (named.protocol === "https:" || (named.protocol === "http:" && here(named) && here(issuer)));
  if (!safe) throw new SignInError(`${issuer.host} names an address that is not https (${text}), and nothing is sent there. Its operator has to mend that.`);
  return named;
}

/** To the provider's page; comes back to `/sign-in`. `again`: as somebody else, perhaps. Raises SignInError. */
export async function begin(provider: Provider, returnTo: string, again: boolean): Promise<void> {
  await told(provider, async () => {
    const server = await discover(provider);
    const begun: Begun = { state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce(), verifier: oauth.generateRandomCodeVerifier(), returnTo };
    sessionStorage.setItem(BEGUN, JSON.stringify(begun));
    const page = usable(provider, server.authorization_endpoint!);
    const asked = {
      client_id: provider.client_id,
      redirect_uri: redirectUri(),
      response_type: "code",
      scope: provider.scopes,
      state: begun.state,
      nonce: begun.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(begun.verifier),
      code_challenge_method: "S256",
      ...(again ? { prompt: "login" } : {}),
    };
    for (const [name, value] of Object.entries(asked)) page.searchParams.set(name, value);
    location.assign(page);
  });
}

/** Back from the provider: the token, and where the person was. Raises SignInError. */
export async function finish(provider: Provider): Promise<{ token: string; returnTo: string }> {
  const address = new URL(location.href);
  const text = sessionStorage.getItem(BEGUN);
  sessionStorage.removeItem(BEGUN);
  // The code is good once, and nobody's to copy out of the address.
  history.replaceState(null, "", "/sign-in");
  if (!text) throw new SignInError("This sign-in was not begun in this tab, or it is over already. Sign in again.");
  const begun = JSON.parse(text) as Begun;
  return told(provider, async () => {
    const server = await discover(provider);
    const found = oauth.validateAuthResponse(server, client(provider), address, begun.state);
    const response = await oauth.authorizationCodeGrantRequest(server, client(provider), oauth.None(), found, redirectUri(), begun.verifier, options(provider));
    const given = await oauth.processAuthorizationCodeResponse(server, client(provider), response, { expectedNonce: begun.nonce, requireIdToken: true });
    if (given.refresh_token) keep(given.refresh_token, kept());
    return { token: given.access_token, returnTo: /^\/(?!\/)/.test(begun.returnTo) ? begun.returnTo : "/" };
  });
}

/** A new token without a person; null where there is nothing to renew with. Raises SignInError where the provider does not answer. */
export async function renew(provider: Provider): Promise<string | null> {
  const refresh = kept() || (await fromOtherTabs());
  if (!refresh) return null;
  return told(provider, async () => {
    const server = await discover(provider);
    const response = await oauth.refreshTokenGrantRequest(server, client(provider), oauth.None(), refresh, options(provider));
    try {
      const given = await oauth.processRefreshTokenResponse(server, client(provider), response);
      if (given.refresh_token && given.refresh_token !== refresh) keep(given.refresh_token, refresh);
      return given.access_token;
    } catch (error) {
      if (!(error instanceof oauth.ResponseBodyError)) throw error;
      // Taken back, or too old: a person has to sign in.
      if (kept() === refresh) sessionStorage.removeItem(REFRESH);
      return null;
    }
  });
}

/** Forget what sessions are renewed with, here and at the provider; the address at which the provider ends its own session. */
export async function signOut(provider: Provider): Promise<string | null> {
  const refresh = kept();
  sessionStorage.removeItem(REFRESH);
  tabs.postMessage({ kind: "out" } satisfies Told);
  try {
    const server = await discover(provider);
    if (refresh && server.revocation_endpoint && provider.origins.includes(usable(provider, server.revocation_endpoint).origin)) await oauth.revocationRequest(server, client(provider), oauth.None(), refresh, options(provider)).catch(() => {});
    if (!server.end_session_endpoint) return null;
    const end = usable(provider, server.end_session_endpoint);
    end.searchParams.set("client_id", provider.client_id);
    end.searchParams.set("post_logout_redirect_uri", `${location.origin}/`);
    return end.href;
  } catch {
    return null;
  }
}

/** What a library or a network says, as a sentence. */
async function told<T>(provider: Provider, what: () => Promise<T>): Promise<T> {
  const host = new URL(provider.issuer).host;
  try {
    return await what();
  } catch (error) {
    if (error instanceof SignInError) throw error;
    if (error instanceof oauth.AuthorizationResponseError) {
      const why = error.error_description ?? error.error;
      throw new SignInError(error.error === "access_denied" ? `${host} did not let you in: ${why}.` : `${host} refused: ${why} (${error.error}).`);
    }
    if (error instanceof oauth.ResponseBodyError) throw new SignInError(`${host} refused: ${error.error_description ?? "no reason given"} (${error.error}). Sign in again.`);
    if (error instanceof TypeError || (error as Error).name === "TimeoutError") throw new SignInError(`${host} cannot be reached from this browser, or does not answer to this address (${location.origin}).`);
    throw new SignInError(`${host} answered what cannot be taken: ${(error as Error).message}.`);
  }
}
