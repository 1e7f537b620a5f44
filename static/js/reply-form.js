// @ts-check
import { post, signIn, wordsOf } from "./http.js";
import { fragment, settle } from "./reply-article.js";
import { text } from "./texts.js";

/** `<reply-form>` around a form that asks for more of this reply, or for another one: sends it without leaving the page. */
class ReplyForm extends HTMLElement {
  connectedCallback() {
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask(/** @type {HTMLFormElement} */ (event.target));
    });
  }

  /** @param {HTMLFormElement} form */
  async #ask(form) {
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    const article = /** @type {HTMLElement} */ (this.closest("article"));
    button.disabled = true;
    const fields = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form)));
    const response = await post(form.action, fields).catch(() => null);
    if (response?.status === 401) signIn();
    else if (response?.ok) show(article, await response.text());
    else this.#complain(response && response.status < 500 ? wordsOf(await response.text()) : "");
    button.disabled = false;
  }

  /** @param {string} words of the server, or nothing when it could not be reached */
  #complain(words) {
    const complaint = this.querySelector("span[role=alert]") ?? document.createElement("span");
    complaint.setAttribute("role", "alert");
    complaint.textContent = words || text("not-reached");
    this.append(complaint);
  }
}

/** @param {HTMLElement} article @param {string} html the same reply, now open again, or another one in its place */
function show(article, html) {
  const fresh = fragment(html).querySelector("article");
  if (!fresh) return;
  if (fresh.dataset.messageId === article.dataset.messageId) settle(article, fresh);
  else article.replaceWith(fresh);
}

customElements.define("reply-form", ReplyForm);
