// @ts-check
import { copy } from "./clipboard.js";
import { codeOf } from "./code-buttons.js";
import "./fold-button.js";

/** `<copy-button>` around a button: copies the code of its block, or, with data-copy="message", the reply as written. */
class CopyButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => copy(this, this.#text()));
  }

  #text() {
    if (this.dataset.copy === "message") {
      const source = /** @type {HTMLTemplateElement | null} */ (this.parentElement?.querySelector("[data-source]"));
      return source?.content.textContent ?? "";
    }
    if (this.dataset.copy === "bubble")
      return this.closest("article")?.querySelector(".message__bubble")?.textContent ?? "";
    // Without the last line's end: pasted into a terminal it would run the command unasked.
    return codeOf(this).replace(/\n$/, "");
  }
}

customElements.define("copy-button", CopyButton);
