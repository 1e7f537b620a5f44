// @ts-check
import { text } from "./texts.js";

/** The thinking block of a reply: open with the seconds counting while the model thinks, closed when it answers.
 *
 * What the reader opened or closed stays as it is.
 */
export class ThinkingClock {
  /** @type {number | undefined} */
  #timer;
  #hasReaderChosen = false;
  #isOver = false;
  #startedAt = 0;

  /** @param {HTMLElement} article */
  constructor(article) {
    this.details = /** @type {HTMLDetailsElement} */ (article.querySelector("details"));
    this.label = /** @type {HTMLElement} */ (this.details.querySelector('[data-part="thought"]'));
    this.details.querySelector("summary")?.addEventListener("click", () => (this.#hasReaderChosen = true));
  }

  get seconds() {
    return Math.max(1, Math.round((performance.now() - this.#startedAt) / 1000));
  }

  /** Whether the reader left the end to read: it must not close under their eyes. */
  get #isRead() {
    const chat = /** @type {import("./chat-log.js").ChatLog | null} */ (this.details.closest("chat-log"));
    return chat?.follower.isFollowing === false;
  }

  start() {
    if (this.#timer || this.#isOver) return;
    this.#startedAt = performance.now() - 1000 * Number(this.details.dataset.seconds ?? 0);
    this.details.hidden = false;
    this.details.dataset.live = "";
    if (!this.#hasReaderChosen) this.details.open = true;
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  stop() {
    if (!this.#timer || this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.label.textContent = text("thought", { seconds: this.seconds });
    delete this.details.dataset.live;
    if (!this.#hasReaderChosen && !this.#isRead) this.details.open = false;
  }

  #tick() {
    this.label.textContent = text("thinking", { seconds: this.seconds });
  }
}
