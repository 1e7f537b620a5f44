// @ts-check
import { announce } from "./announce.js";
import { ChatLog } from "./chat-log.js";
import { Drafts } from "./drafts.js";
import { get, signIn } from "./http.js";
import { fragment } from "./reply-article.js";
import { text } from "./texts.js";

/** `<edit-button>` around a link to the form that edits a message: puts the form in the message's place.
 *
 * What is typed there is kept in this browser until it is sent or left.
 */
class EditButton extends HTMLElement {
  get #draft() {
    const message = /** @type {HTMLElement} */ (this.closest("article")).dataset.messageId;
    return new Drafts(document.body.dataset.user ?? "", `edit-${message}`);
  }

  connectedCallback() {
    if (this.#draft.text) this.open();
    this.addEventListener("click", (event) => {
      event.preventDefault();
      this.open();
    });
  }

  async open() {
    const article = /** @type {HTMLElement} */ (this.closest("article"));
    const link = /** @type {HTMLAnchorElement} */ (this.querySelector("a"));
    const response = article.querySelector(".editor") ? null : await get(link.href).catch(() => null);
    if (response?.status === 401) signIn();
    else if (response?.ok) this.#edit(article, fragment(await response.text()));
    else announce(text("not-reached"));
  }

  /** @param {HTMLElement} article @param {DocumentFragment} fresh */
  #edit(article, fresh) {
    article.querySelector(".message__bubble")?.before(fresh);
    const form = /** @type {HTMLFormElement} */ (article.querySelector(".editor"));
    const area = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
    area.value = this.#draft.text || area.value;
    area.addEventListener("input", () => (this.#draft.text = area.value));
    form.closest("reply-form")?.addEventListener("form:sent", () => (this.#draft.text = ""));
    form.addEventListener("keydown", (event) => this.#pressed(event, form));
    form.querySelector("[data-cancel]")?.addEventListener("click", (event) => this.#cancel(event, form));
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  /** @param {KeyboardEvent} event @param {HTMLFormElement} form */
  #pressed(event, form) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") this.#cancel(event, form);
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  }

  /** @param {Event} event @param {HTMLFormElement} form */
  #cancel(event, form) {
    event.preventDefault();
    this.#draft.text = "";
    form.closest("reply-form")?.remove();
    this.querySelector("a")?.focus();
  }
}

customElements.define("edit-button", EditButton);

/** ArrowUp in an empty composer edits what was asked last. */
document.addEventListener("keydown", (event) => {
  const { target } = event;
  const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.isComposing);
  if (event.key !== "ArrowUp" || !isPlain || !(target instanceof HTMLTextAreaElement)) return;
  if (!target.closest("message-composer") || target.value) return;
  const chat = /** @type {ChatLog} */ (target.closest("chat-log"));
  const last = /** @type {EditButton[]} */ (Array.from(chat.querySelectorAll("edit-button"))).at(-1);
  if (!last || chat.isBusy) return;
  event.preventDefault();
  last.open();
});
