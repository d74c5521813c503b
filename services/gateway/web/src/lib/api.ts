/** The native API, as the page uses it. Sessions are cookies: no token is ever in a script or an address. */

import { newId } from "./ids";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly traceId = "",
    readonly retryAfter = 0,
  ) {
    super(message);
    this.name = "ApiError";
  }
  /** Nobody answered: the network or the server is away. */
  get offline(): boolean {
    return this.status === 0;
  }
}

let onUnauthenticated: () => Promise<boolean> = async () => false;
/** What to do when the session has ended: true where there is a new one. */
export const whenUnauthenticated = (handler: () => Promise<boolean>): void => void (onUnauthenticated = handler);

/** fetch with the session; once more where the session had ended and could be renewed. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response = await fetch(path, { credentials: "same-origin", ...init });
  if (response.status === 401 && (await onUnauthenticated())) {
    response = await fetch(path, { credentials: "same-origin", ...init });
  }
  return response;
}

export async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    return new ApiError(response.status, body.code ?? "", body.detail ?? text, body.trace_id ?? "", body.retry_after ?? 0);
  } catch {
    const trace = response.headers.get("x-trace-id") ?? "";
    return new ApiError(response.status, "", text || `The server answered ${response.status}.`, trace);
  }
}

export async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  let response: Response;
  try {
    response = await request(path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "offline", "The server cannot be reached. What was sent before is safe there.");
  }
  if (!response.ok) throw await errorOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export const get = <T>(path: string) => call<T>("GET", path);
export const post = <T>(path: string, body: unknown = {}, headers?: Record<string, string>) => call<T>("POST", path, body, headers);

/** The keys of requests that may have been carried out without an answer. */
const unanswered = new Map<string, string>();
/** POST that makes something: who asks for the same again, since nobody answered, repeats the same request, so it is made once. */
export async function make<T>(path: string, body: unknown): Promise<T> {
  const asked = `${path} ${JSON.stringify(body)}`;
  const key = unanswered.get(asked) ?? newId("key");
  unanswered.set(asked, key);
  try {
    const made = await post<T>(path, body, { "idempotency-key": key });
    unanswered.delete(asked);
    return made;
  } catch (error) {
    // A refusal is an answer: nothing was made.
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) unanswered.delete(asked);
    throw error;
  }
}
export const patch = <T>(path: string, body: unknown) => call<T>("PATCH", path, body);
export const remove = (path: string) => call<void>("DELETE", path);

export interface Thread {
  id: string;
  title: string;
  model: string;
  agent: string;
  /** A message of the branch that is shown. */
  branch?: string;
  /** How many people there are, the owner included, and what the caller may do. */
  members?: number;
  role?: string;
  owner_id?: string;
  unread?: number;
  archived: boolean;
  pinned: boolean;
  starred: boolean;
  tags: string[];
  created_at: string;
  updated_at: string;
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  estimated: boolean;
}

export interface StoredPart {
  type: "text" | "reasoning" | "tool_call" | "source";
  text?: string;
  tool_call_id?: string;
  name?: string;
  state?: "pending" | "running" | "completed" | "error";
  input?: unknown;
  output?: unknown;
  error?: string;
  started_at?: string;
  ended_at?: string;
  source_id?: string;
  title?: string;
  url?: string;
  quote?: string;
}

export interface StoredMessage {
  id: string;
  thread_id: string;
  role: "user" | "assistant" | "system";
  status: "pending" | "generating" | "waiting" | "complete" | "error" | "cancelled";
  content: string;
  parts: StoredPart[];
  model: string;
  usage: Usage | null;
  cost_microusd: number | null;
  run_id: string | null;
  parent_message_id: string | null;
  error: { code: string; message: string } | null;
  created_at: string;
  author?: string | null;
  cancelled_by?: string | null;
}

export interface Model {
  id: string;
  provider: string;
  context_window: number;
  prices: { input: number | null; cached_input: number | null; output: number | null };
  available: boolean;
  default: boolean;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** Every item of a paged list, up to `most`. */
export async function all<T>(path: string, most = 5000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = "";
  while (cursor !== null && items.length < most) {
    const page: Page<T> = await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}
