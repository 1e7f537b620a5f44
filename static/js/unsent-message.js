// @ts-check

/** @typedef {import("./drafts.js").Unsent} Unsent */

/** A message on its way, drawn with the page's own markup; `unsent:retry` and `unsent:edit` when it did not arrive. */
export class UnsentMessage extends HTMLElement {
  /** @type {Unsent} */
  message = { clientId: "", text: "" };

  connectedCallback() {
    const template = /** @type {HTMLTemplateElement} */ (document.querySelector("[data-unsent]"));
    this.replaceChildren(template.content.cloneNode(true));
    // It gets its id from the server.
    for (const name of ["id", "data-message-id"]) this.querySelector("article")?.removeAttribute(name);
    const bubble = this.querySelector(".message__bubble");
    if (bubble) bubble.textContent = this.message.text;
    this.querySelector("[data-retry]")?.addEventListener("click", () => this.dispatchEvent(new Event("unsent:retry")));
    this.querySelector("[data-edit]")?.addEventListener("click", () => this.dispatchEvent(new Event("unsent:edit")));
  }

  sending() {
    this.#mark(false);
  }

  fail() {
    this.#mark(true);
  }

  /** @param {boolean} hasFailed */
  #mark(hasFailed) {
    const foot = /** @type {HTMLElement} */ (this.querySelector("[data-failed]"));
    foot.hidden = !hasFailed;
    this.toggleAttribute("data-sending", !hasFailed);
  }
}

customElements.define("unsent-message", UnsentMessage);
