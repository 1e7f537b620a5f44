// @ts-check
import { get, signIn } from "./http.js";
import { fragment } from "./reply-article.js";

const SOON_PX = 1200;

/** Stands for the messages above: fetches them when the reader comes near, and the line being read stays where it is. */
class EarlierTurns extends HTMLElement {
  view = /** @type {HTMLElement} */ (this.closest("[data-scroll]"));
  link = /** @type {HTMLAnchorElement} */ (this.querySelector("a"));
  #isAsking = false;
  #observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#fetch(), {
    root: this.view,
    rootMargin: `${SOON_PX}px 0px 0px`,
  });

  connectedCallback() {
    this.link.addEventListener("click", (event) => {
      event.preventDefault();
      this.#fetch();
    });
    const wanted = location.hash.replace(/^#m-/, "");
    if (wanted && wanted !== location.hash && !document.getElementById(`m-${wanted}`)) this.#fetch(wanted);
    else this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  /** @param {string} start a message up to which all is wanted, the one that the address names */
  async #fetch(start = "") {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const response = await get(`${this.dataset.from}?start=${start}`).catch(() => null);
    this.#isAsking = false;
    if (response?.status === 401) signIn();
    else if (response?.status === 409) location.reload();
    else if (response?.ok) this.#insert(fragment(await response.text()), start);
  }

  /** @param {DocumentFragment} turns @param {string} start */
  #insert(turns, start) {
    const { view } = this;
    const anchor = /** @type {HTMLElement} */ (this.nextElementSibling);
    const hadFocus = document.activeElement === this.link;
    const first = turns.querySelector("article");
    const top = anchor.getBoundingClientRect().top;
    // Browsers that hold the place themselves must not do it a second time.
    view.style.overflowAnchor = "none";
    this.replaceWith(turns);
    view.scrollTop += anchor.getBoundingClientRect().top - top;
    requestAnimationFrame(() => requestAnimationFrame(() => (view.style.overflowAnchor = "")));
    if (hadFocus) /** @type {HTMLElement | null} */ (view.querySelector("earlier-turns a") ?? first)?.focus();
    if (start) document.getElementById(`m-${start}`)?.scrollIntoView();
  }
}

customElements.define("earlier-turns", EarlierTurns);
