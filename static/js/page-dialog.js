// @ts-check

/** `<page-dialog><dialog>`: opens when htmx puts something into it, closes on [data-close] and when the server says so. */
class PageDialog extends HTMLElement {
  connectedCallback() {
    const dialog = /** @type {HTMLDialogElement} */ (this.querySelector("dialog"));
    dialog.addEventListener("htmx:afterSwap", () => {
      if (!dialog.open) dialog.showModal();
    });
    dialog.addEventListener("click", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (target === dialog || target.closest("[data-close]")) dialog.close();
    });
    // What was shown there must not stay in the page: it may be a copy of the chat.
    dialog.addEventListener("close", () => dialog.replaceChildren());
    document.body.addEventListener("dialog:close", () => dialog.close());
  }
}

customElements.define("page-dialog", PageDialog);
