// @ts-check

const SHOWN_MS = 5000;

/** `<undo-bar>` around a form: goes by itself after a while, but not while it is pointed at or has the focus. */
class UndoBar extends HTMLElement {
  /** @type {number | undefined} */
  #timer;

  connectedCallback() {
    for (const stay of ["pointerenter", "focusin"]) this.addEventListener(stay, () => clearTimeout(this.#timer));
    for (const go of ["pointerleave", "focusout"]) this.addEventListener(go, () => this.#leaveSoon());
    this.#leaveSoon();
  }

  #leaveSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.remove(), SHOWN_MS);
  }
}

customElements.define("undo-bar", UndoBar);
