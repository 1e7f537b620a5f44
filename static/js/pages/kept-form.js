// @ts-check
import { get, signIn } from "../http.js";

/** `<kept-form>` around a form: what is typed into it is there again for who comes back from sign-in or a lost page.
 *
 * It is sent only to a server that answers, and to which one is signed in.
 */
class KeptForm extends HTMLElement {
  form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
  key = `form:${location.pathname}`;

  connectedCallback() {
    if (cameBack()) this.#restore();
    else sessionStorage.removeItem(this.key);
    this.form.addEventListener("input", () => this.#keep());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  #restore() {
    /** @type {[string, string][]} */
    const fields = JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
    for (const [name, value] of fields) {
      const field = this.form.elements.namedItem(name);
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = true;
      else if (field && "value" in field) field.value = value;
    }
  }

  #keep() {
    const fields = Array.from(new FormData(this.form)).filter(([name]) => name !== "csrfmiddlewaretoken");
    sessionStorage.setItem(this.key, JSON.stringify(fields));
  }

  async #send() {
    const answer = await get("/settings/usage/left/").catch(() => null);
    /** @type {HTMLElement} */ (this.querySelector("[data-not-reached]")).hidden = Boolean(answer);
    if (answer?.status === 401) signIn();
    else if (answer) this.form.submit();
  }
}

/** Whether the reader was away from this page and not through with it: another page of ours led elsewhere. */
function cameBack() {
  const [visit] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  const from = URL.parse(document.referrer);
  const isAside = from?.origin !== location.origin || from.pathname.startsWith("/accounts/");
  return visit?.type !== "navigate" || isAside || from.pathname === location.pathname;
}

customElements.define("kept-form", KeptForm);
