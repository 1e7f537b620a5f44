// @ts-check
import { text } from "./texts.js";

/** `<fold-button role="button">` below long code: shows all of its lines, or the first ones again.
 *
 * Whether it is open is a state and no attribute, and its words are in its shadow: the markup of a reply stays as the
 * server has it. Before this runs the code is folded by CSS, so nothing moves when it does.
 */
class FoldButton extends HTMLElement {
  #internals = this.attachInternals();
  #words = this.attachShadow({ mode: "open" });

  connectedCallback() {
    this.addEventListener("click", () => this.#turn(!this.#isOpen));
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.#turn(!this.#isOpen);
    });
    this.#turn(false);
  }

  get #isOpen() {
    return this.#internals.states.has("open");
  }

  /** @param {boolean} isOpen */
  #turn(isOpen) {
    const code = this.previousElementSibling?.textContent ?? "";
    const number = code.trimEnd().split("\n").length;
    this.#internals.states[isOpen ? "add" : "delete"]("open");
    this.#internals.ariaExpanded = String(isOpen);
    this.#words.textContent = isOpen ? text("fewer-lines") : text("all-lines", { number });
  }
}

customElements.define("fold-button", FoldButton);
