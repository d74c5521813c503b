/** Streaming Markdown: split into blocks, of which only the growing one is parsed and rendered again. Model output is not
 * trusted: marked makes HTML, DOMPurify throws out what is not on the list, and what is left becomes React elements, so no text
 * is ever set as HTML in this document. Images are links: a remote image would tell its server what the text says. */
import DOMPurify from "dompurify";
import { Marked } from "marked";
import remend from "remend";
import { createElement, memo, type ReactNode, useMemo, useRef } from "react";
import { CodeBlock } from "./code";

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // HTML is shown as it was written, but for tags without attributes: reading a handler or a style, even in a document that
    // nobody sees, breaks this page's policy.
    html({ text }) {
      return text.replace(/<[^>]*>|[<>&]/g, (piece) => (PLAIN.test(piece) ? piece : escape(piece)));
    },
    image({ href, text }) {
      const shown = escape(text || href);
      return /^https?:/i.test(href) ? `<a href="${escape(href)}">${shown} (image)</a>` : shown;
    },
  },
});

const PLAIN = /^<\/?(?:br|sub|sup|kbd|b|i|u|s|em|strong|code)\s*\/?>$/i;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

const TAGS = "a p br strong em b i u s del code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 hr table thead tbody tr th td input sup sub kbd span div".split(" ");
const ATTRIBUTES = ["href", "title", "start", "align", "checked", "class", "type"];
const ADDRESS = /^(?:https?:|mailto:|#)/i;
/** One object: the sanitiser reads it anew whenever it is another one. */
const RULES = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ATTRIBUTES,
  ALLOWED_URI_REGEXP: ADDRESS,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
} as const;

/** The newest texts that were rendered whole: scrolling back to one costs nothing. */
const rendered = new Map<string, ReactNode>();
const MOST_RENDERED = 200;

/** The blocks of a text, as their sources. Joined they are the text. */
export function blocksOf(text: string): string[] {
  const blocks: string[] = [];
  for (const token of marked.lexer(text)) {
    if (token.type === "space" && blocks.length) blocks[blocks.length - 1] += token.raw;
    else blocks.push(token.raw);
  }
  return blocks;
}

export const Markdown = memo(function Markdown({ text, growing }: { text: string; growing: boolean }) {
  // What grew here stays in its blocks, so that its end changes nothing on the screen; what is read from the store is one.
  const grew = useRef(growing);
  grew.current ||= growing;
  const blocks = useMemo(() => (grew.current ? blocksOf(text) : [text]), [text, growing]);
  return (
    <div className="markdown" dir="auto">
      {blocks.map((block, index) => (
        <Block key={index} source={block} growing={growing && index === blocks.length - 1} />
      ))}
    </div>
  );
});

const Block = memo(function Block({ source, growing }: { source: string; growing: boolean }) {
  return useMemo(() => (growing ? render(source, true) : kept(source)), [source, growing]);
});

function kept(source: string): ReactNode {
  const found = rendered.get(source) ?? render(source, false);
  rendered.delete(source);
  rendered.set(source, found);
  if (rendered.size > MOST_RENDERED) rendered.delete(rendered.keys().next().value!);
  return found;
}

function render(source: string, growing: boolean): ReactNode {
  const html = marked.parse(growing ? remend(source, { linkMode: "text-only" }) : source, { async: false });
  return <>{children(DOMPurify.sanitize(html, RULES), growing)}</>;
}

function children(node: Node, growing: boolean): ReactNode[] {
  return Array.from(node.childNodes, (child, index) => element(child, index, growing));
}

function element(node: Node, key: number, growing: boolean): ReactNode {
  if (node.nodeType === Node.TEXT_NODE) return node.textContent;
  if (!(node instanceof HTMLElement)) return null;
  const tag = node.tagName.toLowerCase();
  if (tag === "pre") {
    const code = node.querySelector("code");
    const language = /(?:^|\s)language-([\w+#.-]+)/.exec(code?.className ?? "")?.[1] ?? "";
    return <CodeBlock key={key} text={(code ?? node).textContent ?? ""} language={language} growing={growing} />;
  }
  if (tag === "br" || tag === "hr") return createElement(tag, { key });
  if (tag === "input") return <input key={key} type="checkbox" checked={node.hasAttribute("checked")} readOnly disabled aria-label="item of a task list" />;
  if (tag === "table") {
    return (
      <div className="scroll-x" key={key} tabIndex={0} role="region" aria-label="Table">
        <table>{children(node, growing)}</table>
      </div>
    );
  }
  if (tag === "a") {
    const href = node.getAttribute("href") ?? undefined;
    return (
      <a key={key} href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
        {children(node, growing)}
      </a>
    );
  }
  const start = tag === "ol" ? Number(node.getAttribute("start")) || undefined : undefined;
  const align = tag === "td" || tag === "th" ? (node.getAttribute("align") ?? undefined) : undefined;
  return createElement(tag, { key, start, "data-align": align }, ...children(node, growing));
}
