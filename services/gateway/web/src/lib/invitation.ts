/** The token of an invitation's address, which stands behind its `#`, where no server sees it. It is taken out of the address at
 * once, so that it is in no history and goes along to no page that signs people in; this tab keeps it until it is used. */
import { Store } from "./store";

const KEPT = "everthread.invitation";

function take(): string {
  const found = /^\/join(\/|$)/.test(location.pathname) ? location.hash.slice(1) : "";
  try {
    if (!found) return sessionStorage.getItem(KEPT) ?? "";
    sessionStorage.setItem(KEPT, found);
    history.replaceState(null, "", location.pathname + location.search);
  } catch {
    // A browser that keeps nothing: it stays in the address.
  }
  return found;
}

export const invitation = new Store(take());
addEventListener("hashchange", () => invitation.set(take()));

export function forgetInvitation(): void {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // Nothing was kept.
  }
  invitation.set("");
}
