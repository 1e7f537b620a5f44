// @ts-check

/** Three buttons with data-theme-choice: follow the system, light, dark. */
class ThemeSwitch extends HTMLElement {
  connectedCallback() {
    for (const button of this.#buttons) button.addEventListener("click", () => this.#choose(button.value));
    this.mark();
  }

  get #buttons() {
    return /** @type {NodeListOf<HTMLButtonElement>} */ (this.querySelectorAll("button"));
  }

  /** @param {string} theme */
  #choose(theme) {
    localStorage.setItem("theme", theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    for (const each of /** @type {NodeListOf<ThemeSwitch>} */ (document.querySelectorAll("theme-switch"))) each.mark();
    document.dispatchEvent(new CustomEvent("setting:saved", { detail: "theme" }));
  }

  mark() {
    const chosen = localStorage.getItem("theme") ?? "system";
    const { backgroundColor } = getComputedStyle(document.documentElement);
    for (const meta of /** @type {NodeListOf<HTMLMetaElement>} */ (document.querySelectorAll("[name=theme-color]")))
      meta.content = backgroundColor;
    for (const button of this.#buttons) button.ariaPressed = String(button.value === chosen);
  }
}

customElements.define("theme-switch", ThemeSwitch);
