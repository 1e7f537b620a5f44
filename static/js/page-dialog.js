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
      const close = target.closest("[data-close]");
      if (close) event.preventDefault();
      if (target === dialog || close) dialog.close();
    });
    document.addEventListener("click", (event) => {
      const link = /** @type {Element} */ (event.target).closest("a[data-dialog]");
      if (!link) return;
      event.preventDefault();
      htmx.ajax("GET", link.getAttribute("href") ?? "", { target: "#dialog", swap: "innerHTML" });
    });
    document.body.addEventListener("dialog:close", () => dialog.close());
  }
}

customElements.define("page-dialog", PageDialog);
