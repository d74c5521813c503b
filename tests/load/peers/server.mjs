// What a team builds on `resumable-stream`: a server that passes the provider's stream through it, raw. Several of these share a
// Redis. POST /streams/<id> starts and shows, GET /streams/<id>?resumeAt=<characters> shows again, POST /streams/<id>/stop stops.

import { createServer } from "node:http";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";

const { PORT, REDIS_URL, UPSTREAM_URL } = process.env;
const STOP = "stop";
const working = new Map();
const context = createResumableStreamContext({ waitUntil: null });
const publisher = await createClient({ url: REDIS_URL }).connect();
const subscriber = await createClient({ url: REDIS_URL }).connect();
// The library has no stop. The AI SDK's guide says to build one; any process may be asked, and whichever works on it hears it.
await subscriber.subscribe(STOP, (id) => working.get(id)?.abort());

async function* answer(id, question, bare) {
  const stopped = new AbortController();
  working.set(id, stopped);
  try {
    const response = await fetch(`${UPSTREAM_URL}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: question,
      signal: stopped.signal,
    });
    const decoder = new TextDecoder();
    for await (const bytes of response.body) yield decoder.decode(bytes, { stream: true });
  } catch (error) {
    // An error that reached the library would be a rejection that nobody handles, and end the process.
    if (bare) throw error;
    const status = stopped.signal.aborted ? "stopped" : "error";
    yield `event: ${status}\ndata: ${JSON.stringify({ message: String(error) })}\n\n`;
  } finally {
    working.delete(id);
  }
}

async function show(stream, response) {
  if (!stream) {
    response.writeHead(stream === null ? 422 : 404).end(stream === null ? "the stream is done" : "no such stream");
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const reader = stream.getReader();
  response.on("close", () => reader.cancel().catch(() => undefined));
  for (let read = await reader.read(); !read.done; read = await reader.read()) response.write(read.value);
  response.end();
}

async function body(request) {
  let text = "";
  for await (const bytes of request.setEncoding("utf8")) text += bytes;
  return text;
}

async function handle(request, response) {
  const url = new URL(request.url, "http://127.0.0.1");
  const [, , id, verb] = url.pathname.split("/");
  if (request.method === "GET") {
    await show(await context.resumeExistingStream(id, Number(url.searchParams.get("resumeAt") ?? 0)), response);
  } else if (verb === "stop") {
    await publisher.publish(STOP, id);
    response.writeHead(202).end();
  } else {
    const question = await body(request);
    const bare = url.searchParams.has("bare");
    await show(await context.createNewResumableStream(id, () => ReadableStream.from(answer(id, question, bare))), response);
  }
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    if (!response.headersSent) response.writeHead(504);
    response.end(String(error));
  });
});
server.listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
process.on("SIGTERM", () => process.exit(0));
