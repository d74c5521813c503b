/** Loaded when the first closed code block is there. */
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import { createElement, type ReactNode } from "react";

const lowlight = createLowlight({
  bash, c, cpp, csharp, css, diff, go, java, javascript, json, markdown, python, ruby, rust, sql, swift, typescript, xml, yaml,
});

interface Tree {
  type: string;
  value?: string;
  properties?: { className?: string[] };
  children?: Tree[];
}

/** The code as coloured elements; null where the language is not known. */
export function colour(text: string, language: string): ReactNode {
  if (!lowlight.registered(language)) return null;
  return nodes(lowlight.highlight(language, text) as Tree);
}

function nodes(tree: Tree): ReactNode[] {
  return (tree.children ?? []).map((child, key) =>
    child.type === "text" ? child.value : createElement("span", { key, className: child.properties?.className?.join(" ") }, ...nodes(child)),
  );
}
