import { all, get, type Page, type StoredMessage } from "../lib/api";
import { RUNNING } from "./messages";

const TAIL = 50;

/** What is stored of a thread. Long ones are read from their end; later only what may have changed there. */
export class History {
  #known: readonly StoredMessage[] = [];

  constructor(readonly thread: string) {}

  /** All messages, oldest first. Where that takes a while, `early` has the newest ones before. Raises ApiError. */
  async read(early: (tail: readonly StoredMessage[]) => void): Promise<StoredMessage[]> {
    const address = `/v1/threads/${this.thread}/messages`;
    const { items: tail, next_cursor: more } = await get<Page<StoredMessage>>(`${address}?from_end=true&limit=${TAIL}`);
    const whole = more === null && (tail.length < TAIL ? tail : this.#joined(tail));
    if (!whole && more === null && !this.#known.length) early(tail);
    // A gateway that does not know `from_end` yet answers with the beginning.
    const messages = whole || (await all<StoredMessage>(address));
    this.#known = messages;
    return messages;
  }

  /** What is known, with its end replaced; null where there may be a gap, or where something older was not final yet. */
  #joined(tail: StoredMessage[]): StoredMessage[] | null {
    const at = this.#known.findIndex((message) => message.id === tail[0]!.id);
    const before = this.#known.slice(0, Math.max(0, at));
    return at < 0 || before.some((message) => RUNNING.has(message.status)) ? null : [...before, ...tail];
  }
}
