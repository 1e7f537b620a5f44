// @ts-check

/** @typedef {{ name: string, key: string, isShifted: boolean }} Keys */

/** With Ctrl or ⌘, so that none fires while somebody types. The key is named by its place where Shift changes it. */
const KEYS = /** @type {Record<string, Omit<Keys, "name">>} */ ({
  search: { key: "k", isShifted: false },
  list: { key: "/", isShifted: false },
  "new-chat": { key: "o", isShifted: true },
  "copy-reply": { key: "c", isShifted: true },
  "copy-code": { key: "Semicolon", isShifted: true },
  "delete-chat": { key: "backspace", isShifted: true },
});

/** @type {Map<string, () => void>} */
const acts = new Map();

/** @param {string} name @param {() => void} act */
export function shortcut(name, act) {
  acts.set(name, act);
}

export function areOn() {
  return localStorage.getItem("setting:shortcuts") !== "off";
}

shortcut("new-chat", () => location.assign("/"));
shortcut("copy-reply", () => last("copy-button[data-copy=message] button")?.click());
shortcut("copy-code", () => last(".code copy-button button")?.click());
shortcut("list", () => show("/shortcuts/"));
shortcut("delete-chat", () => {
  const chat = /** @type {HTMLElement | null} */ (document.querySelector("chat-log"))?.dataset.conversation;
  if (chat) show(`/c/${chat}/deletion/`);
});

// On the way down, before a field has its say.
document.addEventListener("keydown", (event) => {
  if (!areOn() || event.isComposing) return;
  const name = nameOf(event);
  if (!name) return;
  const isOver = document.querySelector("dialog[open]");
  if (isOver) return name === "search" ? event.preventDefault() : undefined;
  event.preventDefault();
  acts.get(name)?.();
}, true);

document.addEventListener("change", (event) => {
  const box = /** @type {HTMLInputElement} */ (event.target);
  if (box.matches?.("[data-shortcuts]")) localStorage.setItem("setting:shortcuts", box.checked ? "on" : "off");
});

document.addEventListener("htmx:afterSwap", () => {
  const box = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-shortcuts]"));
  if (box) box.checked = areOn();
});

shortcut("focus", () => /** @type {HTMLElement | null} */ (document.querySelector("message-composer textarea"))?.focus());

/** @param {KeyboardEvent} event */
function nameOf({ key, code, ctrlKey, metaKey, shiftKey, altKey }) {
  if (key === "Escape" && shiftKey) return "focus";
  if (!(ctrlKey || metaKey) || altKey) return "";
  const pressed = [key.toLowerCase(), code];
  return Object.keys(KEYS).find((name) => {
    const keys = KEYS[name];
    return keys && keys.isShifted === shiftKey && pressed.includes(keys.key);
  }) ?? "";
}

/** @param {string} address */
function show(address) {
  htmx.ajax("GET", address, { target: "#dialog", swap: "innerHTML" });
}

/** @param {string} selector @returns {HTMLElement | undefined} */
function last(selector) {
  return /** @type {HTMLElement[]} */ (Array.from(document.querySelectorAll(selector))).at(-1);
}
