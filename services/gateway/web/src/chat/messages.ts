/** Stored messages as the AI SDK's, and the tree of branches they form. */
import { isToolUIPart, type UIMessage } from "ai";
import type { StoredMessage, StoredPart, Usage } from "../lib/api";

export interface Meta {
  run_id?: string;
  thread_id?: string;
  model?: string;
  path?: string;
  attempt?: number;
  usage?: Usage;
  cost_microusd?: number | null;
  status?: StoredMessage["status"];
  code?: string;
  error?: { code: string; message: string } | null;
  created_at?: string;
  author?: string | null;
  cancelled_by?: string | null;
  /** Start and end of tool calls, which the SDK's parts have no place for. */
  times?: Record<string, { started_at?: string; ended_at?: string }>;
}

export interface WaitingData {
  reason: string;
  schema?: unknown;
  prompt?: string;
  wait_id?: string;
  expires_at?: string;
  resumed?: boolean;
}

export type Data = {
  waiting: WaitingData;
  "tool-progress": { tool_call_id: string; name: string; progress: unknown };
};

export type Message = UIMessage<Meta, Data>;
export type Part = Message["parts"][number];

export const RUNNING: ReadonlySet<string> = new Set(["pending", "generating", "waiting"]);

export function fromStored(stored: StoredMessage): Message {
  const times: Meta["times"] = {};
  for (const part of stored.parts) {
    if (part.tool_call_id) times[part.tool_call_id] = { started_at: part.started_at, ended_at: part.ended_at };
  }
  return {
    id: stored.id,
    role: stored.role,
    parts: stored.parts.map((part) => partFrom(part, RUNNING.has(stored.status))),
    metadata: {
      run_id: stored.run_id ?? undefined,
      thread_id: stored.thread_id,
      model: stored.model,
      usage: stored.usage ?? undefined,
      cost_microusd: stored.cost_microusd,
      status: stored.status,
      error: stored.error,
      created_at: stored.created_at,
      author: stored.author,
      cancelled_by: stored.cancelled_by,
      times,
    },
  };
}

function partFrom(part: StoredPart, running: boolean): Part {
  switch (part.type) {
    case "text":
      return { type: "text", text: part.text ?? "", state: running ? "streaming" : "done" };
    case "reasoning":
      return { type: "reasoning", text: part.text ?? "", state: running ? "streaming" : "done" };
    case "source":
      return part.url
        ? {
            type: "source-url",
            sourceId: part.source_id ?? "",
            url: part.url,
            title: part.title,
            ...(part.quote ? { providerMetadata: { everthread: { quote: part.quote } } } : {}),
          }
        : {
            type: "source-document",
            sourceId: part.source_id ?? "",
            mediaType: "text/plain",
            title: part.title ?? "",
            ...(part.quote ? { providerMetadata: { everthread: { quote: part.quote } } } : {}),
          };
    case "tool_call": {
      const base = { type: "dynamic-tool" as const, toolName: part.name ?? "tool", toolCallId: part.tool_call_id ?? "" };
      if (part.state === "completed") return { ...base, state: "output-available", input: part.input, output: part.output };
      if (part.state === "error") return { ...base, state: "output-error", input: part.input, errorText: part.error ?? "The tool failed." };
      return { ...base, state: "input-available", input: part.input };
    }
  }
}

/** All messages of a thread, and which of them hang below which. */
export class Tree {
  readonly byId: ReadonlyMap<string, StoredMessage>;
  readonly #children = new Map<string, StoredMessage[]>();

  constructor(readonly messages: readonly StoredMessage[]) {
    this.byId = new Map(messages.map((message) => [message.id, message]));
    for (const message of messages) {
      const parent = message.parent_message_id ?? "";
      const siblings = this.#children.get(parent);
      if (siblings) siblings.push(message);
      else this.#children.set(parent, [message]);
    }
  }

  get newest(): string {
    return this.messages.at(-1)?.id ?? "";
  }

  /** The messages from the root to `leaf` (or below it, to the newest end of its branch), oldest first. */
  path(leaf: string): StoredMessage[] {
    let end = this.byId.get(leaf) ?? this.messages.at(-1);
    for (let next = end && this.#children.get(end.id)?.at(-1); next; next = this.#children.get(next.id)?.at(-1)) end = next;
    const found: StoredMessage[] = [];
    const seen = new Set<string>();
    for (let message = end; message && !seen.has(message.id); message = this.byId.get(message.parent_message_id ?? "")) {
      seen.add(message.id);
      found.unshift(message);
    }
    return found;
  }

  /** The other versions of a message, itself included, oldest first. */
  versions(id: string): StoredMessage[] {
    const message = this.byId.get(id);
    return message ? (this.#children.get(message.parent_message_id ?? "") ?? []) : [];
  }
}

export const textOf = (message: Message): string =>
  message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");

/** The answer asks for something and has not had it. */
export function waitsIn(answer: Message | undefined): boolean {
  return !!answer?.parts.some((part) => (part.type === "data-waiting" && !part.data.resumed) || (isToolUIPart(part) && part.state === "approval-requested"));
}
