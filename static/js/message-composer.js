// @ts-check
import { ChatLog } from "./chat-log.js";
import { Drafts } from "./drafts.js";
import { clientId, post, signIn, wordsOf } from "./http.js";
import { QueuedMessages } from "./queued-messages.js";
import { isOn } from "./settings.js";
import { text as words } from "./texts.js";
import { UnsentMessage } from "./unsent-message.js";

/** @typedef {import("./drafts.js").Unsent} Unsent */

const MANY_LINES = 8;

/** The form at the foot of the page: keeps the draft, sends, and turns Send into Stop while a reply is written. */
class MessageComposer extends HTMLElement {
  form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
  text = /** @type {HTMLTextAreaElement} */ (this.querySelector("textarea"));
  hint = /** @type {HTMLElement} */ (this.querySelector("[data-hint]"));
  send = /** @type {HTMLButtonElement} */ (this.querySelector("[data-send]"));
  stop = /** @type {HTMLButtonElement} */ (this.querySelector("[data-stop]"));
  queue = /** @type {QueuedMessages} */ (this.querySelector("queued-messages"));
  chat = /** @type {ChatLog} */ (this.closest("chat-log"));
  drafts = new Drafts(document.body.dataset.user ?? "", this.chat.conversation);

  connectedCallback() {
    this.#listen();
    this.#restore();
    this.#refresh();
    if (!isTouch()) this.text.focus({ preventScroll: true });
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.text.addEventListener("input", () => this.#edited());
    this.text.addEventListener("keydown", (event) => this.#pressed(event));
    this.stop.addEventListener("click", () => this.#stopReply());
    this.chat.addEventListener("chat:busy", () => this.#refresh());
    this.queue.addEventListener("queue:edit", (event) => this.#takeUp(/** @type {CustomEvent<Unsent>} */ (event).detail));
    this.queue.addEventListener("queue:now", () => (this.chat.isBusy ? this.#stopReply() : this.#sendQueued()));
    document.addEventListener("keydown", (event) => this.#pressedAnywhere(event));
    window.addEventListener("popstate", () => this.#follow());
    this.#follow();
  }

  /** Back and Forward change the address and not the page, also before it listens. */
  #follow() {
    const { conversation } = this.chat;
    const [, id = ""] = /^\/(?:c\/([0-9a-f-]{36}))?$/.exec(location.pathname) ?? ["", conversation];
    if (id !== conversation) location.reload();
  }

  #restore() {
    this.text.value = this.text.value || this.drafts.text;
    this.queue.show(this.drafts);
    const unsent = this.drafts.unsent;
    if (!unsent) return;
    // The answer to the last try was lost with the page; the message itself may well have arrived.
    if (this.chat.querySelector(`[data-client-id="${CSS.escape(unsent.clientId)}"]`)) this.drafts.unsent = null;
    else this.#show(unsent).fail();
  }

  #edited() {
    this.drafts.text = this.text.value;
    this.#tell("");
    this.#refresh();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const isComposing = event.isComposing || event.keyCode === 229;
    const isSending = isOn("ctrl-enter") || isTouch() ? event.ctrlKey || event.metaKey : !event.shiftKey;
    if (event.key !== "Enter" || isComposing || !isSending) return;
    event.preventDefault();
    this.#submit();
  }

  /** @param {KeyboardEvent} event */
  #pressedAnywhere(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open], :popover-open")) return;
    const isEscape = event.key === "Escape" && !event.isComposing && isOn("shortcuts");
    if (isEscape && this.chat.isBusy) this.#stopReply();
    const isPlain = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
    const target = /** @type {HTMLElement} */ (event.target);
    const isTaken = target.closest("input, textarea, select, [contenteditable]");
    const isPress = event.key === " " && target.closest("button, a, summary");
    if (isPlain && !isTaken && !isPress) this.text.focus();
  }

  #submit() {
    const text = this.text.value;
    if (!text.trim()) return;
    const isBusy = this.chat.isBusy || this.chat.isSending;
    if (!isBusy && this.chat.querySelector("unsent-message")) return this.#tell(words("unsent"));
    const message = { clientId: clientId(), text };
    this.drafts.text = this.text.value = "";
    if (isBusy) this.queue.add(message);
    else this.#send(message);
    this.#tell("");
    this.#refresh();
  }

  /** @param {Unsent} message */
  #send(message) {
    this.drafts.unsent = message;
    this.#deliver(message, this.#show(message));
  }

  /** The next of what was written while a reply was; not before one that did not arrive. */
  #sendQueued() {
    if (this.chat.isBusy || this.chat.isSending || this.chat.querySelector("unsent-message")) return;
    const next = this.queue.take();
    if (next) this.#send(next);
  }

  /** @param {Unsent} message that was queued, back into the field */
  #takeUp(message) {
    this.text.value = [this.text.value, message.text].filter(Boolean).join("\n\n");
    this.#edited();
    this.text.focus();
  }

  /** @param {Unsent} message */
  #show(message) {
    const bubble = /** @type {UnsentMessage} */ (document.createElement("unsent-message"));
    bubble.message = message;
    bubble.addEventListener("unsent:retry", () => this.#deliver(message, bubble));
    bubble.addEventListener("unsent:edit", () => this.#takeBack(message, bubble));
    this.chat.log.append(bubble);
    this.chat.makeRoom();
    return bubble;
  }

  /** @param {Unsent} message @param {UnsentMessage} bubble */
  async #deliver(message, bubble) {
    bubble.sending();
    this.chat.isSending = true;
    const chosen = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(this.form)));
    const fields = { ...chosen, client_id: message.clientId, text: message.text, parent: this.chat.lastMessageId };
    const response = await post(this.form.action, fields).catch(() => null);
    const html = await response?.text().catch(() => "");
    this.chat.isSending = false;
    if (response?.ok && html) this.#delivered(response, html, bubble);
    else if (response && response.status < 500) this.#takeBack(message, bubble, html ?? "");
    else bubble.fail();
    if (response?.status === 401) signIn();
  }

  /** @param {Response} response @param {string} html @param {UnsentMessage} bubble */
  #delivered(response, html, bubble) {
    this.drafts.unsent = null;
    this.chat.adopt(html, bubble);
    const second = /** @type {HTMLSelectElement | null} */ (this.form.querySelector("[name=compare]"));
    if (second) second.value = "";
    const address = response.headers.get("HX-Push-Url");
    if (address && address !== location.pathname) this.#moveTo(address);
    this.chat.makeRoom();
    this.#refresh();
  }

  /** A new chat has become a conversation with an address of its own.
   * @param {string} address
   */
  #moveTo(address) {
    history.pushState(null, "", address);
    const conversation = address.split("/").at(-1) ?? "";
    this.chat.dataset.conversation = conversation;
    this.form.action = `${address}/messages/`;
    this.drafts.text = "";
    const { queued } = this.drafts;
    this.drafts.queued = [];
    this.drafts = new Drafts(this.drafts.user, conversation);
    this.drafts.text = this.text.value;
    this.drafts.queued = queued;
    this.queue.show(this.drafts);
    document.body.dispatchEvent(new CustomEvent("chats:changed"));
  }

  /** Puts a message that was refused back into the field, before whatever was typed since.
   * @param {Unsent} message @param {UnsentMessage} bubble @param {string} html the server's words
   */
  #takeBack(message, bubble, html = "") {
    bubble.remove();
    this.drafts.unsent = null;
    this.text.value = [message.text, this.text.value].filter(Boolean).join("\n\n");
    this.#edited();
    this.#tell(wordsOf(html), "error");
    this.text.focus();
  }

  async #stopReply() {
    const { generations } = this.chat;
    if (!generations.length || this.stop.disabled) return;
    this.stop.disabled = true;
    const stops = generations.map((generation) => post(`/generations/${generation}/cancellation/`).catch(() => null));
    const answers = await Promise.all(stops);
    if (answers.some((answer) => answer?.status === 401)) signIn();
    if (answers.every((answer) => answer?.ok)) return;
    this.stop.disabled = false;
    this.#tell(words("not-stopped"), "error");
  }

  /** @param {string} text @param {"" | "error"} kind */
  #tell(text, kind = "") {
    this.hint.textContent = text;
    this.hint.dataset.kind = kind;
  }

  #refresh() {
    const hadFocus = document.activeElement === this.stop || document.activeElement === this.send;
    const { isBusy } = this.chat;
    this.send.hidden = isBusy;
    this.stop.hidden = !isBusy;
    this.send.disabled = !this.text.value.trim();
    if (!isBusy) {
      this.stop.disabled = false;
      this.#sendQueued();
    }
    if (hadFocus && !isTouch()) this.text.focus();
    grow(this.text);
  }
}

/** For browsers without `field-sizing`.
 * @param {HTMLTextAreaElement} area
 */
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  const line = Number.parseFloat(getComputedStyle(area).lineHeight);
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, line * MANY_LINES + 20)}px`;
}

function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}

customElements.define("message-composer", MessageComposer);
