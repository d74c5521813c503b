import type { ThreadChat } from "./thread-chat";

/** What the keyboard and the palette reach of the chat that is open. */
export const chatCommands: { stop: (() => void) | null; thread: ThreadChat | null } = { stop: null, thread: null };
