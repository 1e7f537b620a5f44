// @ts-check
import { announce } from "./announce.js";
import { post, signIn } from "./http.js";
import { fragment } from "./reply-article.js";
import { text } from "./texts.js";

/** `<vote-buttons>`: sends a vote on a reply and shows what holds now; a bad one opens the question why. */
class VoteButtons extends HTMLElement {
  connectedCallback() {
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#vote(/** @type {HTMLFormElement} */ (event.target), /** @type {HTMLButtonElement} */ (event.submitter));
    });
  }

  /** @param {HTMLFormElement} form @param {HTMLButtonElement} button */
  async #vote(form, button) {
    const { value } = button;
    const response = await post(form.action, { value }).catch(() => null);
    if (response?.status === 401) return signIn();
    if (!response?.ok) return announce(text("not-reached"));
    const fresh = fragment(await response.text()).querySelector("form");
    if (!fresh) return;
    const hadFocus = this.contains(document.activeElement);
    this.replaceChildren(fresh);
    if (hadFocus) /** @type {HTMLElement | null} */ (this.querySelector(`[value=${value}]`))?.focus();
    if (fresh.dataset.why) htmx.ajax("GET", fresh.dataset.why, { target: "#dialog", swap: "innerHTML" });
  }
}

customElements.define("vote-buttons", VoteButtons);
