const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A new id as the server makes them: a prefix and a ULID, sortable by time. */
export function newId(prefix: "thr" | "msg" | "key"): string {
  let time = Date.now();
  let head = "";
  for (let i = 0; i < 10; i++) {
    head = LETTERS[time % 32]! + head;
    time = Math.floor(time / 32);
  }
  const random = crypto.getRandomValues(new Uint8Array(16));
  return `${prefix}_${head}${Array.from(random, (byte) => LETTERS[byte % 32]).join("")}`;
}

export const isThreadId = (text: string): boolean => /^thr_[0-9A-HJKMNP-TV-Z]{26}$/.test(text);
export const isStoredMessage = (id: string): boolean => /^msg_[0-9A-HJKMNP-TV-Z]{26}$/.test(id);
