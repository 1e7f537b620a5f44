// @ts-check
import { isOn } from "./settings.js";
import { text } from "./texts.js";

const MARK = "● ";

const icon = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
const plainIcon = icon.href;
let isMarked = false;

// A reply that ends while nobody looks marks the tab, until somebody does.
document.addEventListener("reply:end", (event) => {
  if (!document.hidden) return;
  isMarked = true;
  show();
  notify(/** @type {CustomEvent<string>} */ (event).detail);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !isMarked) return;
  isMarked = false;
  show();
});

// The title changes with the chat's, and must not lose the mark by it.
new MutationObserver(show).observe(/** @type {Node} */ (document.querySelector("title")), { childList: true });

function show() {
  const title = document.title.startsWith(MARK) ? document.title.slice(MARK.length) : document.title;
  const wanted = isMarked ? MARK + title : title;
  if (document.title !== wanted) document.title = wanted;
  const href = isMarked ? (icon.dataset.badge ?? "") : plainIcon;
  if (icon.href !== href) icon.href = href;
}

/** @param {string} status how the reply ended */
function notify(status) {
  if (!isOn("notify") || window.Notification?.permission !== "granted") return;
  try {
    const body = text(`end-${status}`);
    const note = new Notification(document.title.replace(MARK, ""), { body, tag: location.pathname });
    note.onclick = () => {
      window.focus();
      note.close();
    };
  } catch {
    // Some browsers of phones allow none to a page; the mark of the tab is there.
  }
}
