/** Server-sent events by fetch: unlike EventSource it shows status codes, and reconnects as we want. */
import { request } from "./api";

export interface Frame {
  id: string;
  event: string;
  data: string;
}

/** The frames of a body, as they come. */
export async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      let end: number;
      while ((end = rest.indexOf("\n\n")) >= 0) {
        const block = rest.slice(0, end);
        rest = rest.slice(end + 2);
        const frame: Frame = { id: "", event: "message", data: "" };
        for (const line of block.split("\n")) {
          if (line.startsWith("id: ")) frame.id = line.slice(4);
          else if (line.startsWith("event: ")) frame.event = line.slice(7);
          else if (line.startsWith("data: ")) frame.data += line.slice(6);
        }
        if (frame.data) yield frame;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export interface FollowOptions {
  cursor?: string;
  signal: AbortSignal;
  onFrame: (frame: Frame) => void;
  /** Open, or broken for the n-th time in a row. */
  onState?: (open: boolean, broken: number) => void;
}

/** Follow a stream until it is over (204, a terminal end, no longer ours to see) or `signal` aborts; comes back with its cursor after each cut. */
export async function follow(path: string, { cursor = "", signal, onFrame, onState }: FollowOptions): Promise<void> {
  let broken = 0;
  while (!signal.aborted) {
    try {
      const response = await request(path, { signal, headers: cursor ? { "last-event-id": cursor } : {} });
      if (response.status === 204) return;
      if (response.status >= 400 && response.status < 500 && response.status !== 429) return;
      if (response.ok && response.body) {
        broken = 0;
        onState?.(true, 0);
        let terminal = false;
        for await (const frame of frames(response.body)) {
          if (signal.aborted) return;
          if (frame.id) cursor = frame.id;
          if (frame.event === "end" && /"(no_member|thread_deleted)"/.test(frame.data)) return;
          if (frame.event === "end") break;
          if (/^run\.(completed|failed|cancelled)$/.test(frame.event) && path.startsWith("/v1/runs/")) terminal = true;
          onFrame(frame);
        }
        if (terminal) return;
      }
    } catch {
      if (signal.aborted) return;
    }
    broken += 1;
    onState?.(false, broken);
    await pause(Math.min(500 * 2 ** (broken - 1), 8000) * (0.5 + Math.random()), signal);
  }
}

/** Wait; at once over when the network comes back or `signal` aborts. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}
