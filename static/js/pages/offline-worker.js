// @ts-check
// The service worker. It keeps one page, for when the server is not to be reached, and nothing that anybody wrote or reads.
// Before this the server puts what is to be kept, and the version of that.
{
  /**
   * @typedef {{ version: string, page: string, parts: string[] }} Offline
   * @typedef {{ url: string, focus(): Promise<unknown> }} Tab
   * @typedef {{ claim(): Promise<void>, matchAll(of: object): Promise<Tab[]>, openWindow(url: string): Promise<unknown> }} Tabs
   * @typedef {Event & {
   *   waitUntil(done: Promise<unknown>): void, respondWith(answer: Promise<Response>): void, request: Request,
   *   preloadResponse: Promise<Response | undefined>, clientId: string, resultingClientId: string, notification: Notification
   * }} WorkerEvent
   */
  const worker = /** @type {any} */ (self);
  const { version, page, parts } = /** @type {Offline} */ (worker.OFFLINE);
  const tabs = /** @type {Tabs} */ (worker.clients);
  const cacheName = `offline-${version}`;
  const LONGEST_MS = 20_000;
  /** The tabs that show the page; only their style sheets and scripts come from here. */
  const shown = new Set();

  /** @param {string} name @param {(event: WorkerEvent) => void} act */
  const on = (name, act) => worker.addEventListener(name, act);

  on("install", (event) => event.waitUntil(keep()));
  on("activate", (event) => event.waitUntil(takeOver()));
  on("fetch", (event) => {
    const { request, clientId } = event;
    if (request.mode === "navigate" && request.method === "GET") event.respondWith(visit(event));
    else if (shown.has(clientId) && parts.includes(new URL(request.url).pathname)) event.respondWith(kept(request));
  });
  on("notificationclick", (event) => {
    event.notification.close();
    event.waitUntil(goTo(event.notification.data));
  });

  async function keep() {
    const cache = await caches.open(cacheName);
    await cache.addAll([page, ...parts]);
    await worker.skipWaiting();
  }

  async function takeOver() {
    const stale = (await caches.keys()).filter((name) => name.startsWith("offline-") && name !== cacheName);
    await Promise.all(stale.map((name) => caches.delete(name)));
    await worker.registration.navigationPreload?.enable();
    await tabs.claim();
  }

  /** What the server says; the page that is kept when it says nothing, or a proxy says that it does not.
   * @param {WorkerEvent} event
   */
  async function visit(event) {
    const nothing = /** @type {Promise<null>} */ (new Promise((resolve) => setTimeout(resolve, LONGEST_MS)));
    const answer = await Promise.race([ask(event), nothing]);
    if (answer && answer.status !== 502 && answer.status !== 504) return answer;
    shown.add(event.resultingClientId);
    return kept(page);
  }

  /** @param {WorkerEvent} event */
  async function ask({ preloadResponse, request }) {
    try {
      return (await preloadResponse) ?? (await fetch(request));
    } catch {
      return null;
    }
  }

  /** @param {Request | string} request */
  async function kept(request) {
    return (await caches.match(request, { cacheName, ignoreVary: true })) ?? fetch(request);
  }

  /** @param {string} path of the chat that a notification told of */
  async function goTo(path) {
    const all = await tabs.matchAll({ type: "window" });
    const tab = all.find(({ url }) => new URL(url).pathname === path);
    await (tab ? tab.focus() : tabs.openWindow(path));
  }
}
