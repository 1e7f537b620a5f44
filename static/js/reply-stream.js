// @ts-check
import { fragment, part, settle } from "./reply-article.js";
import { ReplyBlocks } from "./reply-blocks.js";
import { socket } from "./socket.js";
import { ThinkingClock } from "./thinking-clock.js";

/** @typedef {import("./socket.js").ReplyFrame} ReplyFrame */
/** @typedef {import("./socket.js").BlocksFrame} BlocksFrame */

// Between two drawings. To lay out and paint is what costs, and the eye does not see more of them than this.
const PAUSE_MS = 80;
// So long after the last words the end of the text begins to pulse; an animation that starts anew with every word is not seen.
const IDLE_MS = 500;

/** A reply being written: follows its generation on the page's socket and draws it into the article around it.
 *
 * The article hears `reply:start`, `reply:drawn` and `reply:end` (detail: the status), which bubble.
 */
class ReplyStream extends HTMLElement {
  generation = this.dataset.generation ?? "";
  cursor = this.dataset.after ?? "0-0";
  ticket = this.dataset.ticket ?? "";
  article = /** @type {HTMLElement} */ (this.closest("article"));
  answer = new ReplyBlocks(part(this.article, "answer"));
  reasoning = new ReplyBlocks(part(this.article, "reasoning"));
  clock = new ThinkingClock(this.article);
  /** @type {BlocksFrame[]} */
  #waiting = [];
  #drawnAt = 0;
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #idle;

  connectedCallback() {
    socket.follow(this.generation, this);
    this.article.dispatchEvent(new CustomEvent("reply:start", { bubbles: true }));
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    this.clock.stop();
    socket.unfollow(this.generation, this);
  }

  /** @param {ReplyFrame} frame */
  receive(frame) {
    if (frame.type === "reply.status") this.#tell(frame.status, frame.text);
    else if (frame.type === "reply.blocks") this.#take(frame);
    else if (frame.type === "reply.end") this.#end(frame);
    else location.reload();
  }

  /** @param {string} status @param {string} text */
  #tell(status, text) {
    this.article.dataset.status = status;
    part(this, "progress").textContent = text;
    this.hidden = false;
    this.#drawn();
  }

  /** Draws at once what comes after a pause, and together what comes within one. Timers of hidden pages hardly run.
   * @param {BlocksFrame} frame
   */
  #take(frame) {
    this.#waiting.push(frame);
    const wait = this.#drawnAt + PAUSE_MS - performance.now();
    if (wait <= 0 || document.hidden) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), wait);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const frames = this.#waiting.splice(0);
    const frame = frames.at(-1);
    if (!frame) return;
    this.#drawnAt = performance.now();
    const { article, answer, reasoning, clock } = this;
    clearTimeout(this.#idle);
    delete article.dataset.idle;
    this.#idle = setTimeout(() => (article.dataset.idle = ""), IDLE_MS);
    const fits = frames.every((each) => reasoning.apply(each.reasoning) && answer.apply(each.answer));
    if (!fits) {
      this.cursor = "0-0";
      socket.follow(this.generation, this);
      return;
    }
    this.cursor = frame.cursor;
    article.dataset.status = "running";
    clock.details.hidden = reasoning.isEmpty;
    if (!reasoning.isEmpty && answer.isEmpty) clock.start();
    if (!answer.isEmpty) {
      clock.stop();
      answer.element.dataset.live = "";
    }
    this.hidden = true;
    this.#drawn();
    whenPainted(() => this.isConnected && socket.acknowledge(this.generation, frame.cursor));
  }

  #drawn() {
    this.article.dispatchEvent(new CustomEvent("reply:drawn", { bubbles: true }));
  }

  /** @param {import("./socket.js").EndFrame} frame */
  #end(frame) {
    this.#draw();
    const { article, answer, reasoning } = this;
    delete article.dataset.idle;
    answer.unmark();
    reasoning.unmark();
    const final = fragment(frame.html).querySelector("article");
    this.remove();
    if (final) settle(article, final);
    article.dispatchEvent(new CustomEvent("reply:end", { bubbles: true, detail: frame.status }));
  }
}

/** Calls back once what was changed is on the screen; a hidden page paints nothing and must not hold the server up.
 * @param {() => void} callback
 */
function whenPainted(callback) {
  if (document.hidden) setTimeout(callback);
  else requestAnimationFrame(() => setTimeout(callback));
}

customElements.define("reply-stream", ReplyStream);
