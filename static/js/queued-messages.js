// @ts-check
import { Drafts } from "./drafts.js";

/** @typedef {import("./drafts.js").Unsent} Unsent */

/** What was written while a reply was: kept in this browser, sent one after another when the reply is over.
 *
 * `queue:edit` (detail: the message, which is queued no more) and `queue:now` (that one is the next) tell what a person
 * wants with one.
 */
export class QueuedMessages extends HTMLElement {
  drafts = new Drafts("", "");
  list = /** @type {HTMLElement} */ (this.querySelector("ol"));

  /** @param {Drafts} drafts where they are kept */
  show(drafts) {
    this.drafts = drafts;
    this.#draw();
  }

  /** @param {Unsent} message */
  add(message) {
    this.#set([...this.drafts.queued, message]);
  }

  /** @returns {Unsent | undefined} the next, which is queued no more */
  take() {
    const [next, ...rest] = this.drafts.queued;
    if (next) this.#set(rest);
    return next;
  }

  /** @param {Unsent[]} messages */
  #set(messages) {
    this.drafts.queued = messages;
    this.#draw();
  }

  #draw() {
    const { queued } = this.drafts;
    this.hidden = !queued.length;
    this.list.replaceChildren(...queued.map((message) => this.#row(message)));
  }

  /** @param {Unsent} message */
  #row(message) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("queued"));
    const row = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
    /** @type {HTMLElement} */ (row.querySelector("[data-queued-text]")).textContent = message.text;
    row.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button"));
      if (button?.dataset.queued) this.#act(button.dataset.queued, message);
    });
    return row;
  }

  /** @param {string} act @param {Unsent} message */
  #act(act, message) {
    const rest = this.drafts.queued.filter((other) => other.clientId !== message.clientId);
    this.#set(act === "now" ? [message, ...rest] : rest);
    if (act !== "delete") this.dispatchEvent(new CustomEvent(`queue:${act}`, { detail: message }));
  }
}

customElements.define("queued-messages", QueuedMessages);
