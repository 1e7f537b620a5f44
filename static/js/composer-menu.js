// @ts-check
import { get } from "./http.js";

/** What opens which menu, and what is looked for in it: the text before the caret. */
const TRIGGERS = { prompts: /^[/／]([^\n]{0,40})$/, models: /(?<!\S)[@＠](\S{0,40})$/ };

const GAP_PX = 8;
const MOST_PX = 360;

/** @typedef {keyof typeof TRIGGERS} Kind */

/** `<composer-menu>`: prompts behind `/` at the beginning of the message, models and presets behind `@`. The focus stays
 * in the message; what is active in the list is told by aria-activedescendant. */
class ComposerMenu extends HTMLElement {
  text = /** @type {HTMLTextAreaElement} */ (this.parentElement?.querySelector("textarea[name=text]"));
  /** @type {Kind | null} */
  #kind = null;
  /** Whether it was closed by hand, which holds until something else is typed about. */
  #isDismissed = false;

  connectedCallback() {
    this.text.setAttribute("aria-autocomplete", "list");
    this.text.addEventListener("input", (event) => {
      if (event.isTrusted && !(/** @type {InputEvent} */ (event).isComposing)) this.#follow();
    });
    this.text.addEventListener("compositionend", () => this.#follow());
    this.text.addEventListener("blur", () => this.#close());
    // Before the composer has its say, for which Enter sends and Escape stops.
    this.text.addEventListener("keydown", (event) => this.#pressed(event), true);
    this.addEventListener("mousedown", (event) => event.preventDefault());
    this.addEventListener("click", (event) => {
      const option = /** @type {Element} */ (event.target).closest("[role=option]");
      if (option) this.#accept(/** @type {HTMLElement} */ (option));
    });
    document.addEventListener("submit", (event) => this.#filled(event));
  }

  /** @param {Kind} kind */
  #list(kind) {
    return /** @type {HTMLElement} */ (this.querySelector(`#choosing-${kind}`));
  }

  get #options() {
    const options = this.querySelectorAll("[role=listbox]:not([hidden]) [role=option]:not([hidden])");
    return /** @type {HTMLElement[]} */ (Array.from(options));
  }

  get #before() {
    return this.text.value.slice(0, this.text.selectionStart);
  }

  /** Opens, filters or closes as the text before the caret says. */
  async #follow() {
    const kinds = /** @type {Kind[]} */ (Object.keys(TRIGGERS));
    const kind = kinds.find((each) => TRIGGERS[each].test(this.#before)) ?? null;
    if (!kind) this.#isDismissed = false;
    if (!kind || this.#isDismissed) return this.#close();
    if (kind !== this.#kind) {
      this.#close();
      this.#kind = kind;
      if (kind === "models") this.#offerModels();
      else await this.#offerPrompts();
    }
    if (this.#kind === kind) this.#filter(kind);
  }

  /** What the header has to choose from. */
  #offerModels() {
    const options = /** @type {HTMLOptionElement[]} */ (Array.from(document.querySelectorAll("#model option")));
    const items = options.map(({ value, text }, index) => {
      const item = document.createElement("li");
      Object.assign(item, { className: "menu__item", id: `model-${index}`, role: "option", dir: "auto", textContent: text });
      item.dataset.model = value;
      return item;
    });
    this.#list("models").replaceChildren(...items);
  }

  async #offerPrompts() {
    const response = await get(this.dataset.address ?? "").catch(() => null);
    const html = response?.ok ? await response.text().catch(() => "") : "";
    this.#list("prompts").innerHTML = html;
  }

  /** @param {Kind} kind */
  #filter(kind) {
    const wanted = TRIGGERS[kind].exec(this.#before)?.[1]?.toLowerCase();
    if (wanted === undefined) return this.#close();
    const list = this.#list(kind);
    for (const option of /** @type {Iterable<HTMLElement>} */ (list.children)) {
      option.hidden = !option.textContent?.toLowerCase().includes(wanted);
    }
    list.hidden = false;
    list.style.maxHeight = `${Math.min(MOST_PX, this.getBoundingClientRect().top - 2 * GAP_PX)}px`;
    if (this.#options.length) this.text.setAttribute("aria-controls", list.id);
    else list.hidden = true;
    this.#activate(0);
  }

  #close() {
    if (this.#kind) this.#list(this.#kind).hidden = true;
    this.#kind = null;
    for (const name of ["aria-activedescendant", "aria-controls"]) this.text.removeAttribute(name);
  }

  /** @param {number} index beyond an end it is the other end */
  #activate(index) {
    const options = this.#options;
    const active = options.at(index % (options.length || 1));
    for (const option of options) option.ariaSelected = String(option === active);
    active?.scrollIntoView({ block: "nearest" });
    if (active) this.text.setAttribute("aria-activedescendant", active.id);
    else this.text.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const options = this.#options;
    if (event.isComposing || event.keyCode === 229 || !options.length) return;
    const index = options.findIndex((option) => option.ariaSelected === "true");
    const active = options[index];
    const isPlain = !(event.shiftKey || event.ctrlKey || event.metaKey || event.altKey);
    if (event.key === "ArrowDown") this.#activate(index + 1);
    else if (event.key === "ArrowUp") this.#activate(index - 1);
    else if (event.key === "Escape") this.#dismiss();
    else if (isPlain && active && (event.key === "Enter" || event.key === "Tab")) this.#accept(active);
    else return event.key === "Tab" ? this.#close() : undefined;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #dismiss() {
    this.#isDismissed = true;
    this.#close();
  }

  /** @param {HTMLElement} option */
  #accept(option) {
    const { model, insert, address, go } = option.dataset;
    const end = this.text.selectionStart;
    const typed = this.#kind ? (TRIGGERS[this.#kind].exec(this.#before)?.[1]?.length ?? -1) + 1 : 0;
    this.#close();
    this.text.setSelectionRange(end - typed, end);
    this.#insert(insert ?? "");
    if (model !== undefined) choose(model);
    if (address) htmx.ajax("GET", address, { target: "#dialog", swap: "innerHTML" });
    if (go) location.assign(go);
  }

  /** In the place of what is selected. @param {string} text */
  #insert(text) {
    this.text.setRangeText(text, this.text.selectionStart, this.text.selectionEnd, "end");
    this.text.dispatchEvent(new Event("input", { bubbles: true }));
    this.text.focus();
  }

  /** The variables of a prompt are given: its text goes into the message. @param {SubmitEvent} event */
  #filled(event) {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const template = form.matches("[data-filling]") && form.querySelector("template");
    if (!template) return;
    const values = new FormData(form);
    for (const gap of /** @type {NodeListOf<HTMLElement>} */ (template.content.querySelectorAll("[data-gap]"))) {
      gap.textContent = String(values.get(gap.dataset.gap ?? "") ?? "");
    }
    const text = template.content.textContent ?? "";
    // After the dialog has given the focus back.
    form.closest("dialog")?.addEventListener("close", () => this.#insert(text), { once: true });
  }
}

/** @param {string} model a model or a preset, by its value in the header's list */
function choose(model) {
  const select = /** @type {HTMLSelectElement | null} */ (document.querySelector("#model select"));
  if (!select) return;
  select.value = model;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

customElements.define("composer-menu", ComposerMenu);
