// @ts-check
import { ChatLog } from "./chat-log.js";
import { post } from "./http.js";
import { fragment } from "./reply-article.js";

const PAUSE_MS = 500;

/** `<context-meter>`: how long what is about to be sent is, asked when typing pauses; marks what would not be read. */
class ContextMeter extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #asked = 0;
  form = /** @type {HTMLFormElement} */ (this.closest("form"));
  chat = /** @type {ChatLog} */ (this.closest("chat-log"));

  connectedCallback() {
    for (const name of ["input", "change", "click"]) this.form.addEventListener(name, () => this.#soon());
    document.querySelector("#model")?.addEventListener("change", () => this.#soon());
    this.chat.addEventListener("chat:busy", () => this.#soon());
    this.#soon();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  async #ask() {
    const asked = (this.#asked += 1);
    const fields = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(this.form)));
    if (!fields["text"]?.trim() || this.chat.isBusy) return this.#show("");
    const [path, query] = this.form.action.split("?");
    const url = `${path}prompt/${query ? `?${query}` : ""}`;
    const response = await post(url, { ...fields, parent: this.chat.lastMessageId }).catch(() => null);
    const html = response?.ok ? await response.text().catch(() => "") : "";
    if (asked === this.#asked) this.#show(html);
  }

  /** @param {string} html */
  #show(html) {
    this.replaceChildren(fragment(html));
    const first = /** @type {HTMLElement | null} */ (this.firstElementChild)?.dataset.first ?? "";
    const articles = Array.from(this.chat.log.querySelectorAll("article"));
    const at = first === "draft" ? articles.length : articles.findIndex((each) => each.dataset.messageId === first);
    for (const [place, article] of articles.entries()) article.toggleAttribute("data-unread", place < at);
  }
}

customElements.define("context-meter", ContextMeter);
