// @ts-check
import { signIn, wordsOf } from "./http.js";
import { text } from "./texts.js";

const SHOWN_MS = 6000;

/** @typedef {CustomEvent<{ xhr: XMLHttpRequest }>} Answer */

// What htmx asked for and did not get must not go by in silence.
document.addEventListener("htmx:sendError", () => tell(text("not-reached")));
document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = /** @type {Answer} */ (event).detail.xhr;
  if (status === 401) signIn();
  else tell(wordsOf(responseText) || text("not-reached"));
});

/** @type {number | undefined} */
let timer;

/** @param {string} words */
function tell(words) {
  const place = /** @type {HTMLElement} */ (document.querySelector("[data-trouble]"));
  // Above a dialog that is open nothing but itself is seen and heard.
  (document.querySelector("dialog[open]") ?? document.querySelector("main"))?.append(place);
  place.textContent = words;
  place.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (place.hidden = true), SHOWN_MS);
}
