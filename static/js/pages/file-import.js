// @ts-check
import { post, wordsOf } from "../http.js";

const TRIES = 3;

/** `<file-import data-piece>` around a form with a file: sends the file in pieces of so many bytes. */
class FileImport extends HTMLElement {
  connectedCallback() {
    this.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  async #send() {
    const chosen = /** @type {HTMLInputElement} */ (this.querySelector("input[type=file]"));
    const file = chosen.files?.[0];
    if (!file) return;
    this.#show("", 0);
    try {
      const begun = await post(location.pathname, { name: file.name, size: String(file.size) });
      const address = begun.headers.get("Location");
      if (!begun.ok || !address) throw new Refusal(wordsOf(await begun.text()));
      await this.#sendPieces(file, address);
      await answered(() => post(`${address}start/`));
      location.reload();
    } catch (error) {
      this.#show(error instanceof Refusal ? error.message : (this.querySelector("[data-lost]")?.textContent ?? ""));
    }
  }

  /** @param {File} file @param {string} address */
  async #sendPieces(file, address) {
    const size = Number(this.dataset.piece);
    const token = /** @type {HTMLInputElement} */ (this.querySelector("[name=csrfmiddlewaretoken]")).value;
    for (let number = 0; number * size < file.size; number += 1) {
      const body = file.slice(number * size, (number + 1) * size);
      const headers = { "X-CSRFToken": token, "Content-Type": "application/octet-stream" };
      await answered(() => fetch(`${address}pieces/?number=${number}`, { method: "POST", body, headers }));
      this.#show("", ((number + 1) * size) / file.size);
    }
  }

  /** What is to be said, and how much of the file is sent: nothing when it is not being sent.
   * @param {string} words @param {number} [done]
   */
  #show(words, done) {
    const said = /** @type {HTMLElement} */ (this.querySelector("[data-words]"));
    said.textContent = words;
    said.hidden = !words;
    const progress = /** @type {HTMLProgressElement} */ (this.querySelector("progress"));
    progress.hidden = done === undefined;
    progress.value = Math.min(1, done ?? 0);
    /** @type {HTMLButtonElement} */ (this.querySelector("button")).disabled = done !== undefined;
  }
}

class Refusal extends Error {}

/** Asks again when no answer came: the server takes the same piece twice.
 * @param {() => Promise<Response>} ask
 */
async function answered(ask) {
  for (let tries = 1; ; tries += 1) {
    try {
      const answer = await ask();
      if (answer.status === 422) throw new Refusal(wordsOf(await answer.text()));
      if (answer.ok) return;
      throw new Error(String(answer.status));
    } catch (error) {
      if (error instanceof Refusal || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * tries));
    }
  }
}

/** `<import-list data-open>`: asks again while something in it is being read. */
class ImportList extends HTMLElement {
  connectedCallback() {
    if (this.dataset.open !== undefined) setTimeout(() => this.#renew(), 1000);
  }

  async #renew() {
    const answer = await fetch(location.href).catch(() => null);
    const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    const fresh = page?.querySelector("import-list");
    if (fresh) this.replaceWith(fresh);
    else if (!answer) setTimeout(() => this.#renew(), 5000);
  }
}

customElements.define("file-import", FileImport);
customElements.define("import-list", ImportList);
