// @ts-check
import { post } from "./http.js";
import { isOn } from "./settings.js";

const DOUBLE_MS = 500;

/** A chat is renamed in the list: F2 or a double click, then Enter to save, Escape to leave it.
 *
 * The first click of a double click opens the chat. So the second may meet this page or the one that comes.
 */
const list = /** @type {HTMLElement} */ (document.getElementById("chats"));

list.addEventListener("click", (event) => {
  const link = linkOf(event);
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const { id = "", at = 0 } = JSON.parse(sessionStorage.getItem("clicked") ?? "{}");
  const isSecond = id === link.id && Date.now() - at < DOUBLE_MS;
  sessionStorage.setItem("clicked", JSON.stringify({ id: link.id, at: Date.now() }));
  if (isSecond) {
    event.preventDefault();
    if (!link.ariaCurrent) sessionStorage.setItem("rename", link.id);
    else rename(link);
  } else if (link.ariaCurrent && link.pathname + link.search === location.pathname + location.search)
    event.preventDefault(); // it is open already
});

document.addEventListener("keydown", (event) => {
  const isPlain = !(event.ctrlKey || event.altKey || event.metaKey);
  if (event.key !== "F2" || !isPlain || !isOn("shortcuts") || document.querySelector("dialog[open]")) return;
  const link = linkOf(event) ?? list.querySelector("[aria-current=page]");
  if (link) rename(/** @type {HTMLAnchorElement} */ (link));
});

const waiting = document.getElementById(sessionStorage.getItem("rename") ?? "");
sessionStorage.removeItem("rename");
if (waiting instanceof HTMLAnchorElement) rename(waiting);

/** @param {Event} event */
function linkOf(event) {
  return /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest?.(".chats__link"));
}

/** @param {HTMLAnchorElement} link */
function rename(link) {
  const field = document.createElement("input");
  const before = link.textContent?.trim() ?? "";
  Object.assign(field, { className: "chats__title", value: before, maxLength: 200, ariaLabel: list.dataset.title });
  link.hidden = true;
  link.before(field);
  field.select();
  let isOver = false;
  const end = async (/** @type {boolean} */ isSaved) => {
    if (isOver) return;
    isOver = true;
    const title = field.value.trim();
    const isNew = isSaved && title && title !== before;
    if (isNew) link.textContent = title;
    field.remove();
    link.hidden = false;
    link.focus();
    if (!isNew) return;
    const response = await post(`${link.pathname}/title/`, { title }).catch(() => null);
    if (!response?.ok) link.textContent = before;
    document.body.dispatchEvent(new CustomEvent("chats:changed"));
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      end(event.key === "Enter");
    }
  });
  field.addEventListener("blur", () => end(true));
}
