// @ts-check
import { announce } from "./announce.js";
import { get, signIn } from "./http.js";
import { fragment, settle } from "./reply-article.js";
import { ScrollFollower } from "./scroll-follower.js";
import { socket } from "./socket.js";
import { text } from "./texts.js";

/** The open conversation: takes new turns in, follows the text down, and tells that a reply begins and ends. */
export class ChatLog extends HTMLElement {
  /** While a message is on its way, what comes back is the sender's to insert. */
  isSending = false;
  log = /** @type {HTMLElement} */ (this.querySelector("[role=log]"));
  view = /** @type {HTMLElement} */ (this.querySelector("[data-scroll]"));
  follower = new ScrollFollower(this.view, /** @type {HTMLElement} */ (this.querySelector("[data-jump]")));

  connectedCallback() {
    const named = document.getElementById(location.hash.slice(1));
    if (named) named.scrollIntoView();
    else this.follower.toEnd();
    new ResizeObserver(() => this.#resized()).observe(this.view);
    this.addEventListener("reply:start", () => this.#started());
    this.addEventListener("reply:drawn", () => this.follower.grown());
    this.addEventListener("reply:end", (event) => this.#ended(/** @type {CustomEvent<string>} */ (event).detail));
    socket.addEventListener("conversation.changed", (event) => {
      if (/** @type {CustomEvent<string>} */ (event).detail === this.conversation && !this.isSending) this.#catchUp();
    });
    socket.addEventListener("reopen", () => this.conversation && !this.isSending && this.#catchUp());
    if (this.isBusy) this.#started();
  }

  get conversation() {
    return this.dataset.conversation ?? "";
  }

  /** The generations that are being written now. */
  get generations() {
    return Array.from(this.querySelectorAll("reply-stream"), (stream) => stream.getAttribute("data-generation") ?? "");
  }

  get isBusy() {
    return this.generations.length > 0;
  }

  get lastMessageId() {
    return this.#lastMessage?.dataset.messageId ?? "";
  }

  get #lastMessage() {
    const onBranch = "[data-message-id]:not([data-beside] *)";
    return /** @type {HTMLElement[]} */ (Array.from(this.querySelectorAll(onBranch))).at(-1);
  }

  /** Adds the turns that are not here yet; a reply that is here but was continued goes on.
   * @param {string} html
   * @param {Element} [place] an element that they replace; else they come at the end
   */
  adopt(html, place) {
    const turns = fragment(html);
    for (const article of turns.querySelectorAll("article")) {
      const known = /** @type {HTMLElement | null} */ (
        this.querySelector(`[data-message-id="${article.dataset.messageId}"]`)
      );
      if (!known) continue;
      (article.closest(".comparison") ?? article).remove();
      if ((known.dataset.ended ?? "") !== (article.dataset.ended ?? "")) settle(known, article);
    }
    const notice = turns.querySelector(".notice")?.textContent;
    if (notice) announce(notice);
    if (place) place.replaceWith(turns);
    else this.log.append(turns);
    this.#endComparison();
    this.follower.grown();
  }

  /** Of two replies side by side only the one stays from which the conversation went on. */
  #endComparison() {
    const pair = this.log.querySelector(".comparison:has(~ article)");
    pair?.replaceWith(/** @type {Element} */ (pair.querySelector(":not([data-beside]) > article")));
  }

  /** Shows a branch from its first message on: what is here below that message gives way.
   * @param {string} html
   * @returns {HTMLElement | null} the first message that is new here
   */
  renew(html) {
    const fresh = fragment(html);
    const first = fresh.querySelector("article");
    const known = /** @type {HTMLElement | null} */ (
      first && this.log.querySelector(`[data-message-id="${first.dataset.messageId}"]`)
    );
    const unsent = this.log.querySelector("unsent-message");
    const nodes = Array.from(this.log.childNodes);
    const turn = known?.closest(".comparison") ?? known;
    for (const node of nodes.slice(turn ? nodes.indexOf(turn) + 1 : 0)) if (node !== unsent) node.remove();
    if (known && first) {
      settle(known, first);
      first.remove();
    }
    const shown = fresh.querySelector("article");
    this.#offerUndo(fresh.querySelector("undo-bar"));
    if (unsent) unsent.before(fresh);
    else this.log.append(fresh);
    this.log.setAttribute("aria-busy", String(this.isBusy));
    if (this.isBusy) this.follower.toEnd();
    this.#changed();
    return shown;
  }

  /** @param {Element | null} bar what was deleted last is what can be undone */
  #offerUndo(bar) {
    if (!bar) return;
    this.querySelector("undo-bar")?.remove();
    this.querySelector(".dock")?.prepend(bar);
    announce(bar.querySelector("[role=status]")?.textContent ?? "");
  }

  /** What was just asked goes to the top of the view, with room below it for the answer. */
  makeRoom() {
    const asked = /** @type {HTMLElement | undefined} */ (Array.from(this.log.querySelectorAll("[data-role=user]")).at(-1));
    this.log.style.setProperty("--view", `${this.view.clientHeight}px`);
    this.log.style.setProperty("--asked", `${asked?.offsetHeight ?? 0}px`);
    this.log.dataset.asked = "";
    this.follower.toEnd();
  }

  #resized() {
    if ("asked" in this.log.dataset) this.log.style.setProperty("--view", `${this.view.clientHeight}px`);
    if (this.isBusy) this.follower.grown();
  }

  async #catchUp() {
    const ended = encodeURIComponent(this.#lastMessage?.dataset.ended ?? "");
    const known = `after=${this.lastMessageId}&ended=${ended}`;
    const response = await get(`/c/${this.conversation}/messages/?${known}`).catch(() => null);
    if (response?.status === 401) signIn();
    else if (response?.status === 404) location.assign("/");
    else if (response?.status === 409 && !this.querySelector(".editor")) location.reload();
    else if (response?.status === 200 && !this.isSending) this.adopt(await response.text());
  }

  #started() {
    this.log.setAttribute("aria-busy", "true");
    announce(text("answering"));
    this.#changed();
  }

  /** @param {string} status */
  #ended(status) {
    this.follower.grown();
    if (!this.isBusy) this.log.setAttribute("aria-busy", "false");
    announce(text(`end-${status}`));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("chat:busy"));
  }
}

customElements.define("chat-log", ChatLog);
