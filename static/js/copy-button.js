// @ts-check
import { announce } from "./announce.js";
import { text } from "./texts.js";

const TICK_MS = 2000;

/** `<copy-button>` around a button: copies the code of its block, or, with data-copy="message", the reply as written. */
class CopyButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => this.#copy());
  }

  async #copy() {
    await write(this.#text());
    announce(text("copied"));
    this.dataset.copied = "";
    setTimeout(() => delete this.dataset.copied, TICK_MS);
  }

  #text() {
    if (this.dataset.copy === "message") {
      const source = /** @type {HTMLTemplateElement | null} */ (this.parentElement?.querySelector("[data-source]"));
      return source?.content.textContent ?? "";
    }
    if (this.dataset.copy === "bubble")
      return this.closest("article")?.querySelector(".message__bubble")?.textContent ?? "";
    // Without the last line's end: pasted into a terminal it would run the command unasked.
    return (this.closest(".code")?.querySelector("pre")?.textContent ?? "").replace(/\n$/, "");
  }
}

/** @param {string} text */
async function write(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // On plain HTTP there is no clipboard object; copying a selection works everywhere.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

customElements.define("copy-button", CopyButton);
