// The official clients against a running gateway: one JSON request a line on stdin, one JSON answer a line on stdout.
// Every request has `base` and `token`. `cuts` are numbers of SSE frames after which a connection is lost, one per connection.
import { createInterface } from "node:readline";
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { HttpAgent } from "@ag-ui/client";
import { stream } from "@durable-streams/client";
import OpenAI from "openai";

console.error = console.warn = console.log = () => {};
// @ag-ui/client cancels the reader of a connection that is already lost, and nobody catches what that throws.
process.on("unhandledRejection", () => {});

const message = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

// fetch that loses connections, and follows `bases` (a gateway is killed: the next connection goes to the next).
function lossy({ bases, cuts = [] }, seen = []) {
  let connection = 0;
  return async (input, init) => {
    const index = connection++;
    const url = String(input).replace("http://gateway", bases[Math.min(index, bases.length - 1)]);
    const lost = cuts[index];
    const own = new AbortController();
    const signal = init?.signal ? AbortSignal.any([init.signal, own.signal]) : own.signal;
    const response = await fetch(url, { ...init, signal });
    seen.push({ url, status: response.status, headers: Object.fromEntries(response.headers) });
    if (lost === undefined || lost === null || !response.body) return response;
    let frames = 0;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async pull(controller) {
        while (frames < lost) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          const pieces = decoder.decode(value, { stream: true }).split("\n\n");
          let out = pieces.shift();
          for (const piece of pieces) {
            if (out.includes("data:") && ++frames >= lost) {
              controller.enqueue(encoder.encode(out + "\n\n"));
              break;
            }
            out += "\n\n" + piece;
            if (!piece) continue;
          }
          if (frames < lost) controller.enqueue(encoder.encode(out));
          // What was cut off comes with the next pull: an error drops what has not been read yet.
          return;
        }
        own.abort();
        controller.error(new TypeError("network error"));
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
}

function summary(chat, seen) {
  return { status: chat.status, error: chat.error ? message(chat.error) : null, messages: chat.messages, seen };
}

const chats = new Map();

// useChat's Chat. `do`: "send" { text, body? of this POST }, "resume", "approve" { approval }, "regenerate" { messageId? }, "stop" (the server's), "new" (a page reload
// without its messages), "output" { output } of a tool call, each on the chat named `id`; `transport`: "default" | "workflow".
// A chat made with `tools` has them in every body; those in `carries`, { name: output or { error } }, it carries out by itself.
async function chat(request) {
  const { id, token, transport = "default", what, text } = request;
  const headers = { authorization: `Bearer ${token}`, ...request.headers };
  const seen = [];
  if (!chats.has(id) || what === "new") {
    const holder = {};
    const fetch = (url, init) => holder.fetch(url, init);
    const api = "http://gateway/api/chat";
    const withHeaders = (url, init) => fetch(url, { ...init, headers: { ...init?.headers, ...headers } });
    const made =
      transport === "workflow"
        ? new WorkflowChatTransport({
            api,
            fetch: withHeaders,
            maxConsecutiveErrors: 20,
            initialStartIndex: request.startIndex ?? 0,
            prepareSendMessagesRequest: ({ id: chatId, messages }) => ({
              body: { id: chatId, messages, ...(request.tools ? { tools: request.tools } : {}) },
            }),
          })
        : new DefaultChatTransport({ api, headers, fetch, ...(request.tools ? { body: { tools: request.tools } } : {}) });
    const { carries } = request;
    const onToolCall = ({ toolCall: { toolName: tool, toolCallId } }) => {
      if (!(tool in carries)) return;
      const output = carries[tool];
      // Not awaited, as the SDK's documentation has it.
      if (output?.error) holder.chat.addToolOutput({ tool, toolCallId, state: "output-error", errorText: output.error });
      else holder.chat.addToolOutput({ tool, toolCallId, output });
    };
    holder.chat = new Chat({
      id: request.chatId ?? id,
      transport: made,
      ...(request.messages ? { messages: request.messages } : {}),
      ...(carries ? { onToolCall, sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls } : {}),
    });
    chats.set(id, holder);
    if (what === "new") return summary(holder.chat, seen);
  }
  const holder = chats.get(id);
  holder.fetch = lossy(request, seen);
  if (what === "send") await holder.chat.sendMessage({ text }, { body: request.body });
  else if (what === "resume") await holder.chat.resumeStream();
  else if (what === "approve") {
    await holder.chat.addToolApprovalResponse(request.approval);
    await holder.chat.sendMessage();
  } else if (what === "output") {
    await holder.chat.addToolOutput(request.output);
    await holder.chat.sendMessage();
  } else if (what === "regenerate") await holder.chat.regenerate({ messageId: request.messageId });
  return summary(holder.chat, seen);
}

function client({ token, bases, cuts, headers }, seen) {
  const fetch = lossy({ bases, cuts }, seen);
  return new OpenAI({ apiKey: token, baseURL: "http://gateway/openai/v1", fetch, maxRetries: 0, defaultHeaders: headers });
}

// chat.completions.stream with `body`.
async function completions(request) {
  const seen = [];
  const stream = client(request, seen).chat.completions.stream(request.body);
  let text = "";
  stream.on("content", (delta) => {
    text += delta;
  });
  try {
    return { completion: await stream.finalChatCompletion(), text, error: null, seen };
  } catch (error) {
    return { completion: null, text, error: message(error), code: error.code ?? null, seen };
  }
}

// chat.completions.runTools with `body`: the SDK's own loop over `tools`, whose functions answer what `carries` says.
async function completionTools(request) {
  const seen = [];
  const called = [];
  const tools = request.tools.map(({ type, function: { name, ...more } }) => {
    const answer = (given) => {
      called.push([name, given]);
      return request.carries[name];
    };
    return { type, function: { name, ...more, parse: JSON.parse, function: answer } };
  });
  const runner = client(request, seen).chat.completions.runTools({ ...request.body, tools });
  try {
    return { text: await runner.finalContent(), called, messages: runner.messages, error: null, seen };
  } catch (error) {
    return { text: null, called, messages: runner.messages, error: message(error), seen };
  }
}

// responses: `how` is "stream" { body }, "by_id" { response_id, starting_after? } by the helper, or "plain" by id.
async function responses(request) {
  const seen = [];
  const openai = client(request, seen);
  const numbers = [];
  let deltas = "";
  let last = null;
  try {
    if (request.how === "plain") {
      const query = { stream: true, starting_after: request.starting_after };
      for await (const event of await openai.responses.retrieve(request.response_id, query)) {
        numbers.push(event.sequence_number);
        if (event.type === "response.output_text.delta") deltas += event.delta;
        last = event.response ?? last;
      }
      return { last, numbers, deltas, error: null, seen };
    }
    const what =
      request.how === "stream"
        ? request.body
        : { response_id: request.response_id, starting_after: request.starting_after };
    const stream = openai.responses.stream(what);
    stream.on("event", (event) => {
      numbers.push(event.sequence_number);
      last = event.response ?? last;
      if (event.type === "response.output_text.delta") deltas += event.delta;
    });
    const final = await stream.finalResponse();
    return { last: final, numbers, deltas, error: null, seen };
  } catch (error) {
    return { last, numbers, deltas, error: message(error), seen };
  }
}

const agents = new Map();

// An AG-UI agent: "run" { text, threadId, tools?, context? }, "tell" { results } of its tools' calls, "answer" { resume } to interrupts, or
// "resume" { run } by GET, keeping its messages.
async function agui(request) {
  const seen = [];
  const headers = { authorization: `Bearer ${request.token}` };
  if (!agents.has(request.id)) agents.set(request.id, new HttpAgent({ url: "", threadId: request.threadId, headers }));
  const agent = agents.get(request.id);
  const fetch = lossy(request, seen);
  agent.url = "http://gateway/agui/run";
  agent.fetch = fetch;
  if (request.what === "resume") {
    agent.fetch = (_, init) =>
      fetch(`http://gateway/agui/runs/${request.run}/events`, { method: "GET", headers: init.headers, signal: init.signal });
  } else if (request.what === "run") {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: request.text });
  } else if (request.what === "tell") {
    for (const [toolCallId, content] of Object.entries(request.results)) {
      agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId, content });
    }
  }
  const outcome = { error: null, runError: null, outcome: null, run: null, interrupts: [], pending: [] };
  const { tools = [], context = [] } = request;
  const more = { ...(request.what === "answer" ? { resume: request.resume } : {}), tools, context };
  try {
    await agent.runAgent(more, {
      onRunStartedEvent: ({ event }) => {
        outcome.run = event.metadata?.everthread?.run_id ?? null;
      },
      onRunErrorEvent: ({ event }) => {
        outcome.runError = event.code;
      },
      onRunFinishedEvent: ({ event }) => {
        outcome.outcome = event.outcome?.type ?? null;
        outcome.interrupts = event.outcome?.interrupts ?? [];
        outcome.pending = event.outcome?.pendingToolCallIds ?? [];
      },
    });
  } catch (error) {
    outcome.error = message(error);
  }
  return { ...outcome, messages: agent.messages, seen };
}

// A run by @durable-streams/client: its events from `offset` on, `live` as the client has it; it comes back by itself.
async function durable(request) {
  const seen = [];
  const events = [];
  const response = await stream({
    url: `http://gateway/streams/runs/${request.run}`,
    headers: { authorization: `Bearer ${request.token}` },
    offset: request.offset ?? "-1",
    live: request.live,
    json: true,
    fetch: lossy(request, seen),
    backoffOptions: { initialDelay: 10, maxDelay: 100, multiplier: 2 },
  });
  for await (const event of response.jsonStream()) events.push(event);
  return { events, offset: response.offset, closed: response.streamClosed, seen };
}

// What the next test shall not find.
async function forget() {
  chats.clear();
  agents.clear();
  return {};
}

const kinds = { chat, completions, completionTools, responses, agui, durable, forget };

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, number, ...request } = JSON.parse(line);
  // Not awaited: several clients run at once.
  kinds[kind](request)
    .then((answer) => ({ answer }))
    .catch((error) => ({ failed: error instanceof Error ? error.stack : String(error) }))
    .then((answer) => process.stdout.write(JSON.stringify({ number, ...answer }) + "\n"));
}
