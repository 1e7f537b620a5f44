// @ts-check

/** `<thinking-choice>`: whether the model thinks before it answers, and for how long; only where it can. */
class ThinkingChoice extends HTMLElement {
  fields = /** @type {HTMLFieldSetElement} */ (this.querySelector("fieldset"));
  toggle = /** @type {HTMLButtonElement} */ (this.querySelector("button"));
  value = /** @type {HTMLInputElement} */ (this.querySelector("input"));

  connectedCallback() {
    this.toggle.addEventListener("click", () => {
      const isOn = this.toggle.getAttribute("aria-pressed") !== "true";
      this.toggle.setAttribute("aria-pressed", String(isOn));
      this.value.value = isOn ? "on" : "off";
    });
    document.addEventListener("change", (event) => this.#follow(/** @type {Element} */ (event.target)));
    document.addEventListener("htmx:load", () => this.#follow(document.querySelector("#model select")));
  }

  /** @param {Element | null} choice the model, or anything else */
  #follow(choice) {
    if (!(choice instanceof HTMLSelectElement) || choice.name !== "model") return;
    this.fields.hidden = this.fields.disabled = !choice.selectedOptions[0]?.hasAttribute("data-thinking");
  }
}

customElements.define("thinking-choice", ThinkingChoice);

/** A suggestion fills the composer and sends nothing. */
document.addEventListener("click", (event) => {
  const card = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-suggestion]"));
  const area = /** @type {HTMLTextAreaElement | null} */ (document.querySelector("message-composer textarea"));
  if (!card || !area || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  area.value = card.dataset.suggestion ?? "";
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
});
