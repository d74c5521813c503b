import { memo, type ReactNode, useEffect, useState } from "react";
import { CopyButton } from "../lib/copy";

/** A fenced block. It is coloured once it is closed, by a part of the page that is loaded when the first one is. */
export const CodeBlock = memo(function CodeBlock({ text, language, growing }: { text: string; language: string; growing: boolean }) {
  const [coloured, setColoured] = useState<{ of: string; nodes: ReactNode } | null>(null);
  useEffect(() => {
    if (growing || !language || text.length > 50_000) return;
    let gone = false;
    import("./highlight")
      .then(({ colour }) => !gone && setColoured({ of: text, nodes: colour(text, language) }))
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, [text, language, growing]);
  return (
    <figure className="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      <pre tabIndex={0}>
        <code>{coloured?.of === text && coloured.nodes ? coloured.nodes : text}</code>
      </pre>
    </figure>
  );
});
