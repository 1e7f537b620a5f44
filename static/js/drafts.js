// @ts-check

/** @typedef {{ clientId: string, text: string }} Unsent */

const KINDS = ["draft", "unsent", "queued"];

/** What a person has written but the server has not got, kept in this browser for one user and one conversation. */
export class Drafts {
  /** @param {string} user @param {string} conversation empty for a new chat */
  constructor(user, conversation) {
    this.user = user;
    this.conversation = conversation;
  }

  get text() {
    return localStorage.getItem(this.#key("draft")) ?? "";
  }

  set text(text) {
    this.#keep("draft", text);
  }

  /** @returns {Unsent | null} the message that was sent but never confirmed */
  get unsent() {
    return JSON.parse(localStorage.getItem(this.#key("unsent")) ?? "null");
  }

  set unsent(message) {
    this.#keep("unsent", message ? JSON.stringify(message) : "");
  }

  /** @returns {Unsent[]} what shall be sent when the reply that is being written is over, first things first */
  get queued() {
    return JSON.parse(localStorage.getItem(this.#key("queued")) ?? "[]");
  }

  set queued(messages) {
    this.#keep("queued", messages.length ? JSON.stringify(messages) : "");
  }

  /** Forgets everything of this user, on every conversation. */
  forget() {
    for (const key of Object.keys(localStorage)) {
      if (KINDS.some((kind) => key.startsWith(`${kind}:${this.user}:`))) localStorage.removeItem(key);
    }
  }

  /** @param {string} kind */
  #key(kind) {
    return `${kind}:${this.user}:${this.conversation || "new"}`;
  }

  /** @param {string} kind @param {string} value */
  #keep(kind, value) {
    if (value) localStorage.setItem(this.#key(kind), value);
    else localStorage.removeItem(this.#key(kind));
  }
}
