import { Icon } from "../lib/icons";
import type { Part } from "./messages";

type Source = Extract<Part, { type: "source-url" | "source-document" }>;

export function Sources({ sources }: { sources: Part[] }) {
  return (
    <details className="fold sources">
      <summary>
        {sources.length} {sources.length === 1 ? "source" : "sources"}
      </summary>
      <ol>
        {(sources as Source[]).map((source, index) => {
          const quote = (source.providerMetadata as { everthread?: { quote?: string } } | undefined)?.everthread?.quote;
          const safe = source.type === "source-url" && /^https?:/i.test(source.url);
          return (
            <li key={index}>
              {source.type === "source-url" && safe ? (
                <a href={source.url} target="_blank" rel="noopener noreferrer nofollow" title={source.url}>
                  <Icon name="link" size={14} /> {source.title || new URL(source.url).hostname}
                </a>
              ) : (
                <span>
                  <Icon name="file" size={14} /> {source.title || "Document"}
                </span>
              )}
              {quote && <blockquote>{quote}</blockquote>}
            </li>
          );
        })}
      </ol>
    </details>
  );
}
