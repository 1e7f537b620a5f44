// @ts-check
import { isOn, turn } from "./settings.js";

const PROMPT = /^(?:\$ |>>> ?|PS [^\n>]*> )/;
const PROMPTS = /^(?:\$ |>>> ?|\.\.\. ?|PS [^\n>]*> )/gm;
const CONSOLE = /^(?:(?:ba|k)?sh|powershell|pwsh|ps1|posh|py|python3?|pycon)$/;

/** The code of the block around an element as it would be run: what shows a session loses its prompt signs.
 * @param {Element} element
 */
export function codeOf(element) {
  const block = /** @type {HTMLElement | null} */ (element.closest(".code"));
  const code = block?.querySelector("pre")?.textContent ?? "";
  const isSession = CONSOLE.test(block?.dataset.language ?? "") && PROMPT.test(code);
  return isSession ? code.replace(PROMPTS, "") : code;
}

/** `<download-button>` around a button: the code of its block as a file. */
class DownloadButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([codeOf(this)], { type: "text/plain" }));
      link.download = /** @type {HTMLElement | null} */ (this.closest(".code"))?.dataset.file ?? "code.txt";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href));
    });
  }
}

/** `<wrap-button role="button">`: long lines of all code break, or scroll; this browser remembers which.
 *
 * What is pressed stands in no attribute: the markup of a reply stays as the server has it, however often it is drawn.
 */
class WrapButton extends HTMLElement {
  #internals = this.attachInternals();

  connectedCallback() {
    this.addEventListener("click", () => this.#toggle());
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.#toggle();
    });
    this.mark();
  }

  mark() {
    this.#internals.ariaPressed = String(isOn("wrap"));
  }

  #toggle() {
    turn("wrap", !isOn("wrap"));
  }
}

document.addEventListener("setting:saved", () => {
  for (const button of /** @type {NodeListOf<WrapButton>} */ (document.querySelectorAll("wrap-button"))) button.mark();
});

customElements.define("download-button", DownloadButton);
customElements.define("wrap-button", WrapButton);
