// What a useChat page does, without the page: the Vercel AI SDK's own Chat asks, is reloaded in mid-answer, and resumes.
// In a page: useChat({ id, resume: true, transport: new DefaultChatTransport({ api: EVERTHREAD_URL + "/api/chat", headers }) }).
//
//   cd examples && npm install --legacy-peer-deps
//   EVERTHREAD_URL=http://127.0.0.1:8080 EVERTHREAD_TOKEN=… node usechat.mjs "Tell me about lighthouses."
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const url = process.env.EVERTHREAD_URL ?? "http://127.0.0.1:8080";
const question = process.argv[2] ?? "Tell me about lighthouses.";
const id = crypto.randomUUID();

// A page, as it is after loading: the same chat id, no messages.
function page() {
  const transport = new DefaultChatTransport({
    api: `${url}/api/chat`,
    headers: { authorization: `Bearer ${process.env.EVERTHREAD_TOKEN}` },
  });
  return new Chat({ id, transport });
}

function textOf(chat) {
  if (chat.error) throw chat.error;
  const parts = chat.messages.at(-1)?.parts ?? [];
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

const before = page();
const asking = before.sendMessage({ text: question });
while (!textOf(before)?.trim() || before.messages.at(-1).role !== "assistant") {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
// Only the connection is closed, as a reload does; POST /api/chat/{id}/stop would stop the answer.
await before.stop();
await asking;
console.log(`reloaded after: ${textOf(before)}`);

const after = page();
await after.resumeStream();
console.log(textOf(after));
