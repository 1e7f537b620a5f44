// @ts-check
import { ChatLog } from "./chat-log.js";
import { clientId, post, signIn, wordsOf } from "./http.js";
import { text } from "./texts.js";

/** `<reply-form>` around forms that change the branch which the page shows: sends them without leaving the page.
 *
 * It hears `form:sent` when the server has taken one.
 */
class ReplyForm extends HTMLElement {
  chat = /** @type {ChatLog} */ (document.querySelector("chat-log"));
  /** What one wish is known by however often it is sent. */
  #clientId = clientId();

  connectedCallback() {
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      const { target, submitter } = /** @type {SubmitEvent & { target: HTMLFormElement }} */ (event);
      if (this.chat.isSending) this.#complain("");
      else this.#send(target, /** @type {HTMLButtonElement | null} */ (submitter));
    });
  }

  /** @param {HTMLFormElement} form @param {HTMLButtonElement | null} button */
  async #send(form, button) {
    const fields = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form, button)));
    if (fields["client_id"]) fields["client_id"] = this.#clientId;
    const hadFocus = this.contains(document.activeElement);
    if (button) button.disabled = true;
    this.chat.isSending = true;
    const response = await post(button?.getAttribute("formaction") ?? form.action, fields).catch(() => null);
    const html = (await response?.text().catch(() => "")) ?? "";
    this.chat.isSending = false;
    if (button) button.disabled = false;
    const address = response?.headers.get("HX-Redirect");
    if (response?.status === 401) signIn();
    else if (address) location.assign(address);
    else if (response?.ok) this.#show(html, hadFocus ? (button?.getAttribute("aria-label") ?? "") : null);
    else this.#complain(response && response.status < 500 ? wordsOf(html) : "");
  }

  /** Puts the branch into the page.
   * @param {string} html @param {string | null} name of the button that had the focus, if it was here
   */
  #show(html, name) {
    this.#clientId = clientId();
    this.dispatchEvent(new Event("form:sent"));
    document.body.dispatchEvent(new CustomEvent("dialog:close"));
    this.closest("undo-bar")?.remove();
    const shown = this.chat.renew(html);
    if (name === null || this.isConnected) return;
    const same = `[aria-label="${name}"]`;
    const button = shown?.querySelector(`${same}:enabled, .versions:has(${same}:disabled) button:enabled`);
    const composer = matchMedia("(pointer: coarse)").matches ? null : this.chat.querySelector(".dock textarea");
    /** @type {HTMLElement | null} */ (button ?? composer)?.focus({ preventScroll: true });
  }

  /** @param {string} words of the server, or nothing when it could not be reached */
  #complain(words) {
    const complaint = this.querySelector("span[role=alert]") ?? document.createElement("span");
    complaint.setAttribute("role", "alert");
    complaint.textContent = words || text("not-reached");
    this.append(complaint);
  }
}

customElements.define("reply-form", ReplyForm);
