// @ts-check
import { Drafts } from "./drafts.js";
import { isOn } from "./settings.js";
import { socket } from "./socket.js";

const REFRESH_AFTER_MS = 300;

/** The list of chats: collapses on wide pages, is a drawer on narrow ones, and keeps itself up to date. */
class ChatSidebar extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  root = document.documentElement;
  narrow = matchMedia("(max-width: 47.99rem)");

  connectedCallback() {
    for (const button of document.querySelectorAll("[data-toggle-sidebar]"))
      button.addEventListener("click", () => this.#toggle());
    document.addEventListener("keydown", (event) => this.#pressed(event));
    this.narrow.addEventListener("change", () => this.#closeDrawer());
    this.querySelector("[data-sign-out]")?.addEventListener("submit", () => new Drafts(userId(), "").forget());
    socket.addEventListener("conversation.changed", () => this.#refreshSoon());
    socket.addEventListener("reopen", () => this.#refreshSoon());
    document.body.addEventListener("chats:changed", () => this.#refreshSoon());
    this.addEventListener("htmx:beforeSwap", (event) => this.#keepInUse(/** @type {CustomEvent} */ (event)));
    this.addEventListener("htmx:afterSwap", () => this.#markCurrent());
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key, ctrlKey, metaKey, shiftKey } = event;
    if ((ctrlKey || metaKey) && shiftKey && isOn("shortcuts") && key.toLowerCase() === "s") {
      event.preventDefault();
      this.#toggle();
    } else if (key === "Escape" && this.root.dataset.drawer && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      this.#closeDrawer();
    } else if (key === " " && event.target instanceof HTMLAnchorElement && event.target.role === "button") {
      event.preventDefault();
      event.target.click();
    }
  }

  #toggle() {
    if (this.narrow.matches) {
      if (this.root.dataset.drawer) this.#closeDrawer();
      else this.#openDrawer();
      return;
    }
    const isCollapsed = !this.root.dataset.sidebar;
    if (isCollapsed) this.root.dataset.sidebar = "collapsed";
    else delete this.root.dataset.sidebar;
    localStorage.setItem("sidebar", isCollapsed ? "collapsed" : "open");
  }

  #openDrawer() {
    this.root.dataset.drawer = "open";
    this.#main.inert = true;
    /** @type {HTMLElement | null} */ (this.querySelector("[data-toggle-sidebar]"))?.focus();
  }

  #closeDrawer() {
    if (!this.root.dataset.drawer) return;
    delete this.root.dataset.drawer;
    this.#main.inert = false;
    /** @type {HTMLElement | null} */ (this.#main.querySelector("[data-toggle-sidebar]"))?.focus();
  }

  get #main() {
    return /** @type {HTMLElement} */ (document.querySelector("main"));
  }

  #refreshSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), REFRESH_AFTER_MS);
  }

  /** An open menu or a title being typed belongs to an item of the list, which must not be taken away under it. */
  get #isInUse() {
    return this.querySelector("#chats :is(:popover-open, .chats__title)") !== null;
  }

  /** What was asked for before it was in use waits, too.
   * @param {CustomEvent} event
   */
  #keepInUse(event) {
    if (!this.#isInUse || /** @type {Element} */ (event.target).id !== "chats") return;
    event.detail.shouldSwap = false;
    this.#refreshSoon();
  }

  #refresh() {
    if (this.#isInUse) return this.#refreshSoon();
    const size = this.querySelectorAll(".chats__item").length;
    htmx.ajax("GET", `/chats/?size=${size}`, { target: "#chats", swap: "innerHTML" });
  }

  #markCurrent() {
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (this.querySelectorAll(".chats__link"))) {
      const isCurrent = link.pathname === location.pathname;
      if (isCurrent) document.title = `${link.textContent?.trim()} · qwenweb`;
      if (isCurrent) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}

function userId() {
  return document.body.dataset.user ?? "";
}

customElements.define("chat-sidebar", ChatSidebar);
