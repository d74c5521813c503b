import { session } from "./session";

/** People have ids and no names here: the end of one is what tells them apart. */
export const shortOf = (id: string): string => id.slice(-4);

export const nameOf = (id: string): string => (id === session.get().userId ? "You" : `User ${shortOf(id)}`);

/** One of eight tones, always the same for the same person. */
export const toneOf = (id: string): number => [...id.slice(-6)].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 8;

/** What a member may do with a thread; a thread that was just begun here has no role yet and is one's own. */
export const owns = (role: string | undefined): boolean => role === undefined || role === "owner";
export const reads = (role: string | undefined): boolean => role === "viewer";
