// @ts-check

/** `<shared-address>` around a field with an address, a button that copies it, and the place where that is said.
 *
 * With data-new it is copied at once: whoever asks for a link wants to paste it.
 */
class SharedAddress extends HTMLElement {
  connectedCallback() {
    this.querySelector("button")?.addEventListener("click", () => this.#copy());
    if ("new" in this.dataset) this.#copy();
  }

  async #copy() {
    const field = /** @type {HTMLInputElement} */ (this.querySelector("input"));
    const said = /** @type {HTMLElement} */ (this.querySelector("[role=status]"));
    field.select();
    // A browser may refuse, and on plain HTTP there is no clipboard object; the field is selected, so Ctrl+C is left.
    const isCopied = navigator.clipboard
      ? await navigator.clipboard.writeText(field.value).then(
          () => true,
          () => false,
        )
      : document.execCommand("copy");
    said.textContent = isCopied ? (said.dataset.words ?? "") : "";
  }
}

customElements.define("shared-address", SharedAddress);
