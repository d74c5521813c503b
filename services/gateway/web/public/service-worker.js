// Shows what the server pushes when nobody is looking. It keeps nothing and answers no requests of the page.
const TITLES = {
  "run.completed": "An answer is there",
  "run.failed": "An answer failed",
  "run.waiting": "An answer waits for you",
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => event.waitUntil(show(event.data)));

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(`/t/${event.notification.data.thread}`));
});

// The push service has given this browser another address.
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event.oldSubscription)));

async function show(data) {
  let told = {};
  try {
    told = data.json();
  } catch {
    // A push without words, or in words of a newer server, still says that there is something.
  }
  const thread = String(told.thread_id ?? "");
  const pages = await self.clients.matchAll({ type: "window" });
  if (pages.some((page) => page.visibilityState === "visible" && new URL(page.url).pathname === `/t/${thread}`)) return;
  await self.registration.showNotification(TITLES[told.type] ?? "Something happened in a chat", {
    body: told.text ?? "",
    icon: "/favicon.svg",
    // One for each chat: what comes later takes its place.
    tag: thread,
    renotify: thread !== "",
    data: { thread },
  });
}

async function open(path) {
  const pages = await self.clients.matchAll({ type: "window" });
  const there = pages.find((page) => new URL(page.url).pathname === path);
  if (there) return there.focus();
  const some = pages[0];
  if (!some) return self.clients.openWindow(path);
  await some.focus();
  some.postMessage({ open: path });
}

async function renew(before) {
  if (!before) return;
  const subscription = await self.registration.pushManager.subscribe(before.options);
  await fetch("/v1/me/push", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(subscription),
  });
  await fetch(`/v1/me/push?endpoint=${encodeURIComponent(before.endpoint)}`, { method: "DELETE" });
}
