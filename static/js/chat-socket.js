// @ts-check
import { get, signIn } from "./http.js";
import { socket } from "./socket.js";

const BANNER_AFTER_MS = 700;

/** Keeps the page's socket alive and says when it is not: `<chat-socket><p class="banner" hidden>…</p></chat-socket>`. */
class ChatSocket extends HTMLElement {
  /** @type {number | undefined} */
  #timer;

  connectedCallback() {
    socket.addEventListener("open", () => this.#show(false));
    socket.addEventListener("close", (event) => this.#lost(/** @type {CustomEvent<number>} */ (event).detail));
    socket.addEventListener("session.ended", signIn);
    window.addEventListener("offline", () => socket.disconnect());
    window.addEventListener("online", () => socket.reconnect());
    window.addEventListener("pagehide", () => socket.disconnect());
    window.addEventListener("pageshow", () => socket.connect());
    document.addEventListener("visibilitychange", () => document.hidden || socket.connect());
    socket.connect();
  }

  /** @param {number} failures */
  #lost(failures) {
    this.#timer ??= setTimeout(() => this.#show(true), navigator.onLine ? BANNER_AFTER_MS : 0);
    // A refused handshake looks like a lost network: ask once in a while whether the session is still good.
    if (failures && failures % 3 === 0) this.#checkSession();
  }

  async #checkSession() {
    const response = await get("/chats/").catch(() => null);
    if (response?.status === 401) signIn();
  }

  /** @param {boolean} isLost */
  #show(isLost) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const banner = this.querySelector("p");
    if (banner) banner.hidden = !isLost;
  }
}

customElements.define("chat-socket", ChatSocket);
