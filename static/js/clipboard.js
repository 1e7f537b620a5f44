// @ts-check
import { announce } from "./announce.js";
import { text } from "./texts.js";

const TICK_MS = 2000;

/** @type {WeakMap<HTMLElement, number>} */
const ticks = new WeakMap();

/** Copies words and says so; the element carries [data-copied] for a while.
 * @param {HTMLElement} element @param {string} words
 */
export async function copy(element, words) {
  await write(words);
  announce(text("copied"));
  element.dataset.copied = "";
  clearTimeout(ticks.get(element));
  ticks.set(element, setTimeout(() => delete element.dataset.copied, TICK_MS));
}

/** @param {string} words */
async function write(words) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(words);
    return;
  }
  // On plain HTTP there is no clipboard object; copying a selection works everywhere.
  const area = document.createElement("textarea");
  area.value = words;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
