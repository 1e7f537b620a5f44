// @ts-check
import { contentOf } from "./reply-blocks.js";

/** Markup of the server as elements that come to life only where they are put into the page.
 * @param {string} html
 */
export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Makes the article of a reply show what a fresh one shows; what reads the same stays, with the selection in it.
 * One that is being written is left alone.
 * @param {HTMLElement} live @param {HTMLElement} fresh
 */
export function settle(live, fresh) {
  if (live.querySelector("reply-stream")) return;
  for (const renewed of fresh.querySelectorAll("[data-part]")) {
    const stale = live.querySelector(`[data-part="${/** @type {HTMLElement} */ (renewed).dataset.part}"]`);
    if (stale) draw(stale, renewed);
    if (!stale || contentOf(stale) === contentOf(renewed)) continue;
    stale.replaceWith(renewed);
  }
  const [thinking, thought] = [live.querySelector("details"), fresh.querySelector("details")];
  if (thinking && thought) {
    thinking.hidden = thought.hidden;
    thinking.dataset.seconds = thought.dataset.seconds ?? "";
  }
  if (live.dataset.role === "user") return;
  live.dataset.status = fresh.dataset.status;
  live.dataset.ended = fresh.dataset.ended ?? "";
  part(live, "answer").removeAttribute("data-live");
  // It starts when it is in the page, so it comes last.
  const stream = fresh.querySelector("reply-stream");
  if (stream) part(live, "answer").after(stream);
}

/** Diagrams come when the reply is over: then their blocks change, and nothing around them.
 * @param {Element} live @param {Element} fresh
 */
function draw(live, fresh) {
  const blocks = fresh.querySelectorAll(".code");
  live.querySelectorAll(".code").forEach((block, i) => {
    const drawn = blocks[i]?.querySelector(".diagram, .code__note")?.parentNode;
    if (drawn && !block.querySelector(".diagram, .code__note")) block.replaceWith(drawn.cloneNode(true));
  });
}

/** @param {HTMLElement} element @param {string} name */
export function part(element, name) {
  return /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
}
