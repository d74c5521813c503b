/** One thread on the screen: `useChat`'s Chat against /api/chat, and what makes it outlive cuts, tabs and other devices. */
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { ApiError, call, get, patch, post, request, type StoredMessage, type Thread } from "../lib/api";
import { tellConnection } from "../lib/connection";
import { newId } from "../lib/ids";
import { chosenAgent, chosenModel } from "../lib/models";
import { offers } from "../lib/session";
import { pause } from "../lib/sse";
import { kept, Store } from "../lib/store";
import { onEntry } from "../threads/feed";
import { begin, gone, sawEnd } from "../threads/threads";
import { History } from "./history";
import { fromStored, type Message, RUNNING, Tree, waitsIn } from "./messages";

/** A message that is answered later. */
export interface Later {
  run: string;
  text: string;
  /** When, in milliseconds. */
  at: number;
}

export interface View {
  /** `gone`: it was here, and is no longer ours to see. */
  state: "loading" | "ready" | "missing" | "away" | "gone";
  tree: Tree;
  branch: string;
  /** The stop was asked for, and the worker has not said yet that it stopped. */
  stopping: boolean;
  /** When the message that is being answered was sent, in milliseconds. */
  sentAt: number;
  /** Sent, and nobody has taken it yet: the network is away. */
  unsent: boolean;
  /** The answer that is being followed where it is not the last one: others may be queued behind it. */
  target: string;
  later: readonly Later[];
  refused: { message: string; code: string } | null;
}

const HIDDEN_MILLISECONDS = 20_000;
/** A hidden tab gives its connection back after this; the answer goes on. */

type Outcome = "ended" | "cut" | "left";

export class ThreadChat {
  readonly view: Store<View>;
  readonly chat: Chat<Message>;
  readonly #history: History;
  #outcome: Outcome = "ended";
  #closed = true;
  #fresh: boolean;
  #driving = false;
  #hiding = 0;
  #due = 0;
  #away = new AbortController();
  #undo: Array<() => void> = [];

  constructor(
    readonly id: string,
    fresh: boolean,
    branch: string,
  ) {
    this.#fresh = fresh;
    this.#history = new History(id);
    this.view = new Store<View>({
      state: fresh ? "ready" : "loading",
      tree: new Tree([]),
      branch,
      stopping: false,
      sentAt: 0,
      unsent: false,
      target: "",
      later: [],
      refused: null,
    });
    this.chat = new Chat<Message>({
      id,
      generateId: () => newId("msg"),
      transport: new DefaultChatTransport<Message>({
        api: "/api/chat",
        prepareReconnectToStreamRequest: ({ id: chat }) => ({ api: `/api/chat/${this.#resumed() ?? chat}/stream` }),
        fetch: (input, init) => this.#fetch(String(input), init ?? {}),
        prepareSendMessagesRequest: ({ messages, trigger, messageId }) => ({ body: this.#body(messages, trigger, messageId) }),
      }),
      onError: (error) => {
        if (isNetwork(error)) this.#outcome = "cut";
      },
      onFinish: ({ isDisconnect, isAbort }) => {
        if (isDisconnect) this.#outcome = "cut";
        else if (isAbort) this.#outcome = "left";
      },
    });
  }

  /** Begin to listen and to read; after `close`, begin again. */
  revive(): void {
    this.#closed = false;
    const hide = () => {
      clearTimeout(this.#hiding);
      if (document.hidden) this.#hiding = window.setTimeout(() => this.#leave(), HIDDEN_MILLISECONDS);
      else if (!this.#driving && !this.#closed) void this.open();
    };
    document.addEventListener("visibilitychange", hide);
    this.#undo.push(() => document.removeEventListener("visibilitychange", hide));
    this.#undo.push(
      onEntry((entry) => {
        if (entry.thread_id !== this.id || this.#driving || document.hidden) return;
        if (entry.type === "message.accepted" || entry.type.startsWith("run.")) void this.open();
      }),
    );
    this.#undo.push(
      gone.subscribe(() => {
        const { state } = this.view.get();
        if (this.id in gone.get()) this.#lose();
        else if (state === "gone") void this.open();
      }),
    );
    if (!this.#fresh) void this.open();
    this.#fresh = false;
  }

  get busy(): boolean {
    return this.chat.status === "submitted" || this.chat.status === "streaming";
  }

  /** The run that is on, if it is known yet. */
  get run(): string | undefined {
    const { target } = this.view.get();
    const message = target ? this.chat.messages.find((item) => item.id === target) : this.chat.lastMessage;
    return message?.role === "assistant" ? message.metadata?.run_id : undefined;
  }

  /** Leave the thread; its answer goes on. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#hiding);
    clearTimeout(this.#due);
    for (const undo of this.#undo.splice(0)) undo();
    this.#leave();
    tellConnection("chat", true);
  }

  /** Read what is stored, and join the answer that is being written. */
  async open(): Promise<void> {
    if (this.#driving || this.#closed) return;
    this.#driving = true;
    try {
      for (let n = 0; !this.#closed; n++) {
        if (!(await this.#load())) return;
        const next = this.chat.messages.find((message) => message.role === "assistant" && RUNNING.has(message.metadata?.status ?? ""));
        // What waits for an approval ends its response at once; what waits for an answer keeps it open.
        const waits = next?.metadata?.status === "waiting" || waitsIn(next);
        if (!next || (waits && n > 0)) break;
        this.#change({ target: next.id });
        if (n > 0) await pause(Math.min(150 * 2 ** n, 3000), this.#away.signal);
        if (await this.#drive(() => this.chat.resumeStream())) return;
      }
    } finally {
      this.#driving = false;
      this.#change({ target: "" });
    }
  }

  /** Send a message behind what is shown. While an answer is being written: `how` says what becomes of it. */
  async send(text: string, how: "enqueue" | "steer" | "interrupt" = "enqueue"): Promise<void> {
    if (this.busy || this.#driving) {
      await this.#sendBusy(text, how);
      return;
    }
    begin(this.id, text.split("\n", 1)[0]!.slice(0, 80), chosenModel.get());
    await this.#ask(() => this.chat.sendMessage({ text }), text);
  }

  /** Say something else in the place of a message, as another branch. */
  async edit(messageId: string, text: string): Promise<void> {
    await this.#post(`/messages/${messageId}/edit`, { content: text });
  }

  /** Another answer to the same question, as another branch. */
  async regenerate(messageId: string): Promise<void> {
    await this.#post(`/messages/${messageId}/regenerate`, {});
  }

  /** Ask for the stop; the answer ends when its worker has stopped, and what was written stays. */
  async stop(): Promise<void> {
    if (!this.busy && !this.#driving) return;
    this.#change({ stopping: true });
    for (let n = 0; n < 6 && !this.#closed; n++) {
      try {
        const run = this.run;
        if (run) await post(`/v1/runs/${run}/cancel`);
        else await call("POST", `/api/chat/${this.id}/stop`);
        return;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status === 409 || (error.status >= 400 && error.status < 500)) return;
        await pause(300 * 2 ** n);
      }
    }
    this.#change({ stopping: false });
  }

  /** Show another version of a message. */
  choose(id: string): void {
    this.#change({ branch: id });
    const path = this.view.get().tree.path(id);
    this.chat.messages = path.map(fromStored);
    // The same branch on every device.
    void patch(`/v1/threads/${this.id}`, { branch: path.at(-1)?.id ?? id }).catch(() => {});
    void this.open();
  }

  dismiss(): void {
    this.#change({ refused: null });
  }

  /** Answer what a run waits for, then follow it further. */
  async answer(run: string, verb: "approve" | "input", body: unknown): Promise<void> {
    await post(`/v1/runs/${run}/${verb}`, body);
    await this.open();
  }

  /** Have a message answered at a moment; nobody has to be here then. */
  async sendLater(text: string, at: Date): Promise<void> {
    await this.#accept("/messages", { content: text, run_at: at.toISOString() });
    await this.#load();
  }

  /** A message for later is not answered at all. */
  async takeBack(run: string): Promise<void> {
    await post(`/v1/runs/${run}/cancel`);
    this.#change({ later: this.view.get().later.filter((item) => item.run !== run) });
  }

  async #ask(start: () => Promise<void>, text = ""): Promise<void> {
    if (this.#driving) return;
    this.#driving = true;
    this.#change({ refused: null, sentAt: Date.now(), stopping: false, branch: "" });
    const before = this.chat.messages;
    try {
      const left = await this.#drive(start);
      if (left) return;
      const error = this.chat.error;
      if (error && !this.run) {
        // It was refused: nothing is stored, and what was written goes back to where it came from.
        this.#change({ refused: refusalOf(error) });
        this.chat.messages = before;
        this.chat.clearError();
        if (text) drafts.put(this.id, text);
        return;
      }
    } finally {
      this.#driving = false;
      this.#change({ stopping: false, unsent: false });
    }
    await this.open();
  }

  /** Run one request of the SDK, and resume for as long as it is cut; true where we left it. */
  async #drive(start: () => Promise<void>): Promise<boolean> {
    this.#away = new AbortController();
    this.#outcome = "ended";
    await start();
    for (let n = 0; this.#was("cut") && !this.#closed; n++) {
      tellConnection("chat", false);
      await pause(Math.min(250 * 2 ** n, 5000) * (0.7 + 0.6 * Math.random()), this.#away.signal);
      if (this.#away.signal.aborted) return true;
      this.#outcome = "ended";
      const arrived = this.#arrivals;
      await this.chat.resumeStream();
      if (this.#arrivals > arrived) n = 0;
    }
    return this.#was("left");
  }

  /** How the last request ended; a call, since the SDK's callbacks change it behind the compiler's back. */
  #was(outcome: Outcome): boolean {
    return this.#outcome === outcome;
  }

  /** Stop listening; the answer goes on. */
  #leave(): void {
    this.#away.abort();
    if (this.busy) void this.chat.stop();
  }

  /** It may not be seen here any more. */
  #lose(): void {
    clearTimeout(this.#due);
    this.#leave();
    this.#change({ state: "gone", later: [] });
  }

  async #load(): Promise<boolean> {
    for (let n = 0; !this.#closed; n++) {
      if (this.id in gone.get()) return false;
      try {
        const asked = this.view.get().state !== "ready" && !this.view.get().branch ? get<Thread>(`/v1/threads/${this.id}`) : null;
        const branchKnown = asked?.then(({ branch }) => branch && this.#change({ branch }));
        branchKnown?.catch(() => {});
        let whole = false;
        const stored = await this.#history.read(async (tail) => {
          // The end of a long thread is shown while its beginning is still read, if it is the end of the chosen branch.
          const newest = await this.#setAside([...tail]).catch(() => []);
          await branchKnown?.catch(() => {});
          const { branch } = this.view.get();
          if (!whole && !this.#closed && newest.length && (!branch || newest.some((message) => message.id === branch))) this.#show(newest);
        });
        whole = true;
        const messages = await this.#setAside(stored);
        await branchKnown;
        tellConnection("chat", true);
        this.#show(messages);
        return true;
      } catch (error) {
        const offline = error instanceof ApiError && (error.offline || error.status >= 500 || error.status === 429);
        if (!offline) {
          if (this.view.get().state === "ready") this.#lose();
          else if (this.view.get().state !== "gone") this.#change({ state: "missing" });
          return false;
        }
        tellConnection("chat", false);
        if (this.view.get().state === "loading") this.#change({ state: "away" });
        await pause(Math.min(400 * 2 ** n, 6000));
      }
    }
    return false;
  }

  /** The messages without those that are for later, or that were taken back before their time came: these stand beside every
   * branch until then. Asks for the runs only where there may be such. */
  async #setAside(messages: StoredMessage[]): Promise<StoredMessage[]> {
    const suspect = (message: StoredMessage) => message.role === "assistant" && (message.status === "pending" || (message.status === "cancelled" && !message.parts.length));
    if (!offers("message.run_at") || !messages.some(suspect)) {
      this.#wait([]);
      return messages;
    }
    const { items } = await get<{ items: Array<{ id: string; message_id: string; status: string; run_at: string | null }> }>(`/v1/runs?thread_id=${this.id}&limit=200`);
    const held = new Map(items.filter((run) => run.run_at).map((run) => [run.message_id, run]));
    const answers = messages.filter((message) => held.has(message.id) && suspect(message));
    const beside = new Set(answers.flatMap((answer) => [answer.id, answer.parent_message_id]));
    const byId = new Map(messages.map((message) => [message.id, message]));
    const later = answers
      .filter((answer) => answer.status === "pending")
      .map((answer) => ({ run: answer.run_id!, text: byId.get(answer.parent_message_id ?? "")?.content ?? "", at: Date.parse(held.get(answer.id)!.run_at!) }));
    this.#wait(later.sort((a, b) => a.at - b.at));
    return messages.filter((message) => !beside.has(message.id));
  }

  /** Nobody tells when the time of a message has come: this looks then. */
  #wait(later: Later[]): void {
    this.#change({ later });
    clearTimeout(this.#due);
    const first = later[0];
    if (first && !this.#closed) this.#due = window.setTimeout(() => void this.open(), Math.min(Math.max(first.at - Date.now() + 300, 1500), 3_600_000));
  }

  #show(messages: StoredMessage[]): void {
    const tree = new Tree(messages);
    const path = tree.path(this.view.get().branch);
    const shown = new Map(this.chat.messages.map((message) => [message.id, message]));
    // A message that has not changed keeps its identity, so that it is not rendered again.
    this.chat.messages = path.map((stored) => {
      const known = shown.get(stored.id);
      if (known && this.busy && stored.id === this.view.get().target) return known;
      // The stored view does not say what an answer asks for; its stream did.
      if (known && RUNNING.has(stored.status) && waitsIn(known)) return known;
      const same = known && !RUNNING.has(stored.status) && known.metadata?.status === stored.status && known.metadata.created_at;
      return same ? known : fromStored(stored);
    });
    const end = path.findLast((message) => message.run_id && !RUNNING.has(message.status));
    if (end) sawEnd(this.id, end.run_id!);
    if (this.chat.error && !this.busy) this.chat.clearError();
    this.#change({ state: "ready", tree, stopping: false });
  }

  #body(messages: Message[], trigger: string, messageId: string | undefined): object {
    // What is before the answer that this one follows is known there: sending it again would only grow.
    const last = messages.at(-1);
    const parent = messages.slice(0, -1).findLast((message) => message.role === "assistant");
    const tail = [parent && { ...parent, parts: [] }, last && { ...last, parts: last.parts.filter((part) => part.type === "text") }];
    const model = chosenModel.get();
    const agent = chosenAgent.get();
    return {
      id: this.id,
      messages: tail.filter(Boolean).map((message) => ({ id: message!.id, role: message!.role, parts: message!.parts })),
      trigger,
      messageId,
      ...(model ? { model } : {}),
      ...(agent && offers("message.agent") ? { agent } : {}),
    };
  }

  #arrivals = 0;

  /** The SDK's fetch: a message is sent until somebody takes it. The server knows its id, so that twice is once. */
  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const sends = init.method === "POST";
    for (let n = 0; ; n++) {
      let response: Response | null = null;
      try {
        response = await request(path, init);
      } catch (error) {
        if (init.signal?.aborted || !sends) throw error;
      }
      const busy = response === null || response.status === 502 || response.status === 503 || response.status === 504;
      if (!busy && response) {
        this.#arrivals += 1;
        tellConnection("chat", true);
        if (this.view.get().unsent) this.#change({ unsent: false });
        return response;
      }
      if (!sends) throw new TypeError("Failed to fetch");
      tellConnection("chat", false);
      this.#change({ unsent: true });
      await pause(Math.min(300 * 2 ** n, 5000), init.signal ?? undefined);
      if (init.signal?.aborted) throw new DOMException("left", "AbortError");
    }
  }

  async #sendBusy(text: string, how: "enqueue" | "steer" | "interrupt"): Promise<void> {
    try {
      await this.#accept("/messages", { content: text, on_busy: how });
      // It is stored behind the answer that is being written, which goes on in its place.
      const last = this.chat.messages.findLast((message) => message.role === "assistant");
      if (this.busy && !this.view.get().target && last) this.#change({ target: last.id });
      await this.#load();
    } catch (error) {
      this.#change({ refused: refusalOf(error as Error) });
      drafts.put(this.id, text);
    }
  }

  /** Have the server answer something on a branch of its own, and follow that. */
  async #post(path: string, body: object): Promise<void> {
    const last = this.chat.lastMessage?.id;
    // Right behind an answer's end what is stored is read once more: who asks for something meanwhile is not ignored.
    while (this.#driving && !this.busy && !this.#closed) await pause(50);
    if (this.#driving || this.#closed || this.chat.lastMessage?.id !== last) return;
    this.#driving = true;
    this.#change({ refused: null, sentAt: Date.now(), stopping: false });
    try {
      const accepted = await this.#accept(path, body);
      this.#change({ branch: accepted.assistant_message_id });
    } catch (error) {
      this.#change({ refused: refusalOf(error as Error) });
      return;
    } finally {
      this.#driving = false;
    }
    await this.open();
  }

  #accept(path: string, body: object): Promise<{ assistant_message_id: string }> {
    const [model, agent] = [chosenModel.get(), chosenAgent.get()];
    const choice = { ...(model ? { model } : {}), ...(agent ? { agent } : {}) };
    return post(`/v1/threads/${this.id}${path}`, { ...body, ...choice }, { "idempotency-key": newId("msg") });
  }

  /** The run to resume by name, where it is not the thread's newest, which the thread's own address means. */
  #resumed(): string | undefined {
    const { target, tree } = this.view.get();
    const newest = tree.messages.findLast((message) => message.run_id)?.run_id;
    const run = target ? tree.byId.get(target)?.run_id : undefined;
    return run && newest && run !== newest ? run : undefined;
  }

  #change(changes: Partial<View>): void {
    this.view.set((before) => ({ ...before, ...changes }));
  }
}

const isNetwork = (error: Error): boolean => error instanceof TypeError || error.name === "TypeError";

function refusalOf(error: Error): { message: string; code: string } {
  return { message: error.message, code: error instanceof ApiError ? error.code : "" };
}

/** What was typed and not sent, per thread. */
export const drafts = {
  changed: new Store(0),
  get: (id: string): string => kept.get(`draft.${id}`, ""),
  put(id: string, text: string): void {
    kept.set(`draft.${id}`, text || undefined);
    this.changed.set((n) => n + 1);
  },
  keep: (id: string, text: string): void => kept.set(`draft.${id}`, text || undefined),
};
