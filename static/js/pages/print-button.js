// @ts-check

/** `<print-button>` around a button: the browser's print dialog, which can also make a PDF file. */
class PrintButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => print());
  }
}

customElements.define("print-button", PrintButton);
