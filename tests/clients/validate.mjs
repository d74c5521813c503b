// The official clients, fed with recorded responses: one JSON request a line on stdin, one JSON answer a line on stdout.
// A request is { kind, ... }; what each kind takes and answers stands at its function. Frames are strings as on the wire.
import { createInterface } from "node:readline";
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { DefaultChatTransport } from "ai";
import { HttpAgent } from "@ag-ui/client";
import OpenAI from "openai";

// The clients log what they recover from; here only the outcome counts.
console.error = console.warn = console.log = () => {};

// @ag-ui/client cancels the reader of a connection that is already lost, and nobody catches what that throws.
process.on("unhandledRejection", () => {});

const encoder = new TextEncoder();

// A response whose body is `frames`; `broken` ends it like a lost connection.
function response(frames, { broken = false, headers = {}, status = 200 } = {}) {
  const body = new ReadableStream({
    start(controller) {
      for (const frame of frames) controller.enqueue(encoder.encode(frame));
      if (broken) controller.error(new TypeError("network error"));
      else controller.close();
    },
  });
  return new Response(body, { status, headers: { "content-type": "text/event-stream", ...headers } });
}

const DONE = "data: [DONE]\n\n";
const message = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

function chatSummary(chat) {
  return { status: chat.status, error: chat.error ? message(chat.error) : null, messages: chat.messages };
}

// { segments: [[frame]], cut?: { segment, at }, resume?: [frame] }: useChat's Chat sends, is cut after `at` frames, resumes.
// Later segments are what follows an approval: a POST of the same chat each.
async function aiSdk({ segments, cut, resume }) {
  let posts = 0;
  const fetch = async (url, init) => {
    if (init.method === "GET") return resume ? response([...resume, DONE]) : new Response(null, { status: 204 });
    const segment = posts++;
    if (cut && cut.segment === segment) return response(segments[segment].slice(0, cut.at), { broken: true });
    return response([...segments[segment], DONE]);
  };
  const chat = new Chat({ id: "chat", transport: new DefaultChatTransport({ api: "http://t/api/chat", fetch }) });
  const last = cut ? cut.segment : segments.length - 1;
  await chat.sendMessage({ text: "hi" });
  for (let segment = 1; segment <= last; segment++) await chat.sendMessage();
  const before = chatSummary(chat);
  if (!cut) return before;
  await chat.resumeStream();
  return { ...chatSummary(chat), before: { status: before.status, error: before.error } };
}

// { frames, cuts: [n], clean, negative? }: WorkflowChatTransport sends, loses the connection after each of `cuts` frames, and
// asks for the rest by itself. `negative`: it comes anew and asks for the last frames only.
async function workflow({ frames, cuts, clean, negative }) {
  const asked = [];
  const left = [...cuts];
  const serve = (from) => {
    const to = left.length ? Math.max(from, left.shift()) : frames.length;
    const headers = { "x-workflow-run-id": "run_1", "x-workflow-stream-tail-index": String(frames.length - 1) };
    if (to >= frames.length) return response([...frames.slice(from), DONE], { headers });
    return response(frames.slice(from, to), { headers, broken: !clean });
  };
  const fetch = async (url, init) => {
    if (init?.method === "POST") return serve(0);
    const index = Number(new URL(url).searchParams.get("startIndex"));
    asked.push(index);
    return serve(index < 0 ? Math.max(0, frames.length + index) : index);
  };
  const transport = new WorkflowChatTransport({
    api: "http://t/api/chat",
    fetch,
    maxConsecutiveErrors: 100,
    ...(negative ? { initialStartIndex: negative } : {}),
  });
  const chat = new Chat({ id: "chat", transport });
  if (negative) await chat.resumeStream();
  else await chat.sendMessage({ text: "hi" });
  return { ...chatSummary(chat), asked };
}

function openai(fetch) {
  return new OpenAI({ apiKey: "k", baseURL: "http://t/openai/v1", fetch, maxRetries: 0 });
}

// { frames }: chat.completions.stream and the plain stream, over the same bytes.
async function openaiChat({ frames }) {
  const client = openai(async () => response([...frames, DONE]));
  const request = { model: "m", messages: [{ role: "user", content: "hi" }], stream_options: { include_usage: true } };
  const plain = { content: "", error: null };
  try {
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      plain.content += chunk.choices[0]?.delta?.content ?? "";
    }
  } catch (error) {
    plain.error = message(error);
  }
  const stream = client.chat.completions.stream(request);
  try {
    const completion = await stream.finalChatCompletion();
    return { plain, completion, error: null };
  } catch (error) {
    return { plain, completion: null, error: message(error) };
  }
}

const SEQUENCE = /"sequence_number":(\d+)/;

// { frames, after: [n] }: responses.stream from the start; for each n the helper by id with starting_after, and the plain
// stream by id from there. The server answers starting_after itself.
async function openaiResponses({ frames, after }) {
  const client = openai(async (url) => {
    const from = new URL(url).searchParams.get("starting_after");
    const rest = from === null ? frames : frames.filter((frame) => Number(SEQUENCE.exec(frame)[1]) > Number(from));
    return response(rest);
  });
  const read = async (stream) => {
    const texts = {};
    stream.on("response.output_text.delta", (event) => {
      texts[event.item_id] = event.snapshot;
    });
    return { final: await stream.finalResponse(), texts };
  };
  const whole = await read(client.responses.stream({ model: "m", input: "hi" }));
  const resumed = [];
  for (const n of after) {
    const helper = await read(client.responses.stream({ response_id: "resp_1", starting_after: n }));
    const numbers = [];
    let last = null;
    for await (const event of await client.responses.retrieve("resp_1", { stream: true, starting_after: n })) {
      numbers.push(event.sequence_number);
      last = event;
    }
    resumed.push({ final: helper.final, numbers, last: last && last.response ? last.response.output_text ?? null : null });
  }
  return { ...whole, resumed };
}

// { bodies: [{ frames, broken }], messages }: an agent runs once per body, keeping its messages between; the last must not fail.
async function agui({ bodies, messages }) {
  const agent = new HttpAgent({ url: "http://t/agui/run", threadId: "thread", initialMessages: messages });
  const outcomes = [];
  for (const body of bodies) {
    agent.fetch = async () => response(body.frames, { broken: body.broken });
    const outcome = { error: null, runError: null, outcome: null, interrupts: [] };
    try {
      const resume = agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved" }));
      const result = await agent.runAgent({ runId: "run", ...(resume.length ? { resume } : {}) }, {
        onRunErrorEvent: ({ event }) => {
          outcome.runError = event.code;
        },
        onRunFinishedEvent: ({ event }) => {
          outcome.outcome = event.outcome?.type ?? null;
          outcome.interrupts = event.outcome?.interrupts ?? [];
        },
      });
      outcome.result = result.result ?? null;
    } catch (error) {
      outcome.error = message(error);
    }
    outcomes.push(outcome);
  }
  return { outcomes, messages: agent.messages };
}

const kinds = { ai_sdk: aiSdk, workflow, openai_chat: openaiChat, openai_responses: openaiResponses, agui };

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = { answer: await kinds[kind](request) };
  } catch (error) {
    answer = { failed: error instanceof Error ? error.stack : String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
