// @ts-check
import { post, signIn, wordsOf } from "./http.js";

/** `<reply-again data-url data-client-id>` around a button: asks for another reply in place of this one. */
class ReplyAgain extends HTMLElement {
  connectedCallback() {
    this.querySelector("button")?.addEventListener("click", () => this.#ask());
  }

  async #ask() {
    const button = /** @type {HTMLButtonElement} */ (this.querySelector("button"));
    button.disabled = true;
    const fields = { client_id: this.dataset.clientId ?? "" };
    const response = await post(this.dataset.url ?? "", fields).catch(() => null);
    if (response?.status === 401) signIn();
    else if (response?.ok) this.#replace(await response.text());
    else this.#complain(response && response.status < 500 ? wordsOf(await response.text()) : "");
    button.disabled = false;
  }

  /** @param {string} html */
  #replace(html) {
    const range = document.createRange().createContextualFragment(html);
    this.closest("article")?.replaceWith(range);
  }

  /** @param {string} words of the server, or nothing when it could not be reached */
  #complain(words) {
    const complaint = this.querySelector("span") ?? document.createElement("span");
    complaint.setAttribute("role", "alert");
    complaint.textContent = words || "This did not reach the server. Try again.";
    this.append(complaint);
  }
}

customElements.define("reply-again", ReplyAgain);
