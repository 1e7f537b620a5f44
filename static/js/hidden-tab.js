// @ts-check
import { isOn } from "./settings.js";
import { text } from "./texts.js";

const NEWS = "● ";
const SIGN = /^[●…] /;
const ELSEWHERE = ".chats__item:not(:has([aria-current])) .chats__state--unread";

const icon = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
const plainIcon = icon.getAttribute("href") ?? "";
let hasEnded = false;

// A reply that ends while nobody looks marks the tab, until somebody does.
document.addEventListener("reply:end", (event) => {
  hasEnded ||= document.hidden;
  show();
  if (document.hidden) notify(/** @type {CustomEvent<string>} */ (event).detail);
});

document.addEventListener("visibilitychange", () => {
  hasEnded &&= document.hidden;
  show();
});

for (const name of ["reply:start", "htmx:afterSwap"]) document.addEventListener(name, show);
// The title changes with the chat's, and must not lose its sign by it.
new MutationObserver(show).observe(/** @type {Node} */ (document.querySelector("title")), { childList: true });
show();

/** What the title begins with: that a reply is there to be read, here or in another chat, or that one is being written. */
function sign() {
  if (hasEnded || document.querySelector(ELSEWHERE)) return NEWS;
  return document.querySelector("reply-stream, .chats__state--running") ? "… " : "";
}

function show() {
  const wanted = sign() + document.title.replace(SIGN, "");
  if (document.title !== wanted) document.title = wanted;
  const href = wanted.startsWith(NEWS) ? (icon.dataset.badge ?? "") : plainIcon;
  if (icon.getAttribute("href") !== href) icon.href = href;
}

/** @param {string} status how the reply ended */
function notify(status) {
  if (!isOn("notify") || window.Notification?.permission !== "granted") return;
  const title = document.title.replace(SIGN, "");
  const options = { body: text(`end-${status}`), tag: location.pathname, data: location.pathname };
  try {
    const note = new Notification(title, options);
    note.onclick = () => {
      window.focus();
      note.close();
    };
  } catch {
    // Browsers of phones allow none to a page, but to its service worker.
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, options));
  }
}
