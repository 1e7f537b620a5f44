// @ts-check
import { shortcut } from "./shortcuts.js";

/** The search field of the sidebar, which moves into a dialog while it is used: what is found, what can be done. */
class SearchBox extends HTMLElement {
  form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
  field = /** @type {HTMLInputElement} */ (this.querySelector("input"));
  dialog = /** @type {HTMLDialogElement} */ (this.querySelector("dialog"));
  #hadFocus = false;

  connectedCallback() {
    // Outside of the sidebar, which may be hidden, and with it all that is in it.
    document.body.append(this.dialog);
    // Not when it only gets the focus: whoever passes by with Tab wants to go on.
    for (const use of ["click", "input", "compositionend"])
      this.field.addEventListener(use, (event) => {
        if (!(/** @type {InputEvent} */ (event).isComposing)) this.#open();
      });
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => this.#clicked(event));
    this.dialog.addEventListener("htmx:afterSwap", () => this.#select(0));
    shortcut("search", () => this.#open());
  }

  #open() {
    if (this.dialog.open) return;
    this.#hadFocus = document.activeElement === this.field;
    this.dialog.prepend(this.form);
    this.dialog.showModal();
    this.field.focus();
    this.form.dispatchEvent(new CustomEvent("search:open"));
  }

  #closed() {
    this.field.value = "";
    this.prepend(this.form);
    if (this.#hadFocus) this.field.focus();
  }

  get #items() {
    return /** @type {HTMLElement[]} */ (Array.from(this.dialog.querySelectorAll("[role=option]")));
  }

  get #selected() {
    return this.#items.findIndex((item) => item.ariaSelected === "true");
  }

  /** @param {number} index */
  #select(index) {
    const items = this.#items;
    for (const item of items) item.ariaSelected = "false";
    const item = items.at(index % (items.length || 1));
    if (!item) return this.field.removeAttribute("aria-activedescendant");
    item.ariaSelected = "true";
    item.scrollIntoView({ block: "nearest" });
    this.field.setAttribute("aria-activedescendant", item.id);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const isClosed = !this.dialog.open;
    if (isClosed && !["ArrowDown", "Enter"].includes(event.key)) return;
    if (isClosed) this.#open();
    else if (event.key === "ArrowDown") this.#select(this.#selected + 1);
    else if (event.key === "ArrowUp") this.#select(this.#selected - 1);
    else if (event.key === "Enter") this.#items[this.#selected]?.click();
    else return;
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {Element} */ (event.target);
    if (target === this.dialog) this.dialog.close();
    const theme = /** @type {HTMLElement | null} */ (target.closest("[data-theme-choice]"))?.dataset.themeChoice;
    if (!theme) return;
    event.preventDefault();
    /** @type {HTMLElement | null} */ (document.querySelector(`theme-switch [value="${theme}"]`))?.click();
    this.dialog.close();
  }
}

customElements.define("search-box", SearchBox);
