import { useEffect, useState } from "react";
import { errorOf, get, type Page, remove, request } from "../lib/api";
import { Icon } from "../lib/icons";
import { say } from "../lib/toast";

interface Document {
  id: string;
  title: string;
  media_type: string;
  size: number;
  state: "pending" | "reading" | "ready" | "failed";
  done: number;
  total: number;
  error: string | null;
}

const TYPES: Record<string, string> = { md: "text/markdown", markdown: "text/markdown", txt: "text/plain", pdf: "application/pdf" };

/** The documents that answers may rest on: upload, how far each is read, delete. */
export function Documents() {
  const [items, setItems] = useState<Document[] | null>(null);
  const [over, setOver] = useState(false);
  const load = () =>
    get<Page<Document>>("/v1/documents?limit=200")
      .then((page) => setItems(page.items))
      .catch((error: Error) => say(error.message));
  useEffect(() => void load(), []);
  const reading = items?.some((item) => item.state === "pending" || item.state === "reading") ?? false;
  useEffect(() => {
    if (!reading) return;
    const timer = setInterval(load, 1000);
    return () => clearInterval(timer);
  }, [reading]);
  const upload = async (files: FileList | null) => {
    for (const file of files ?? []) {
      const type = TYPES[file.name.split(".").at(-1)?.toLowerCase() ?? ""] ?? file.type;
      try {
        const response = await request(`/v1/documents?title=${encodeURIComponent(file.name)}`, { method: "POST", headers: { "content-type": type || "text/plain" }, body: file });
        if (!response.ok) throw await errorOf(response);
      } catch (error) {
        say(`${file.name}: ${(error as Error).message}`);
      }
    }
    await load();
  };
  return (
    <section>
      <h3>Documents</h3>
      <label
        className={`drop ${over ? "over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void upload(event.dataTransfer.files);
        }}
      >
        <Icon name="file" /> Text, Markdown or PDF: drop it here, or choose
        <input className="unseen" type="file" multiple accept=".txt,.md,.markdown,.pdf" onChange={(event) => void upload(event.target.files)} />
      </label>
      <ul className="documents">
        {items?.map((item) => (
          <li key={item.id}>
            <span className="grow">{item.title}</span>
            <small>{item.state === "ready" ? `${item.total} passages` : item.state === "failed" ? item.error : item.total ? `reading ${item.done} of ${item.total}` : "waiting to be read"}</small>
            {item.state === "reading" && item.total > 0 && <progress max={item.total} value={item.done} />}
            <button
              type="button"
              className="icon"
              aria-label={`Delete ${item.title}`}
              onClick={() =>
                remove(`/v1/documents/${item.id}`)
                  .then(load)
                  .catch((error: Error) => say(error.message))
              }
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
      </ul>
      {items?.length === 0 && <p className="hint">None yet. Answers quote what they use from here.</p>}
    </section>
  );
}
