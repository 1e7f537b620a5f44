// @ts-check
import { isOn, turn } from "./settings.js";
import { text } from "./texts.js";

/** @typedef {import("./settings.js").Setting} Setting */

const SHOWN_MS = 2500;

/** `<setting-switch>` around a checkbox named after a setting: shows it, and saves what is chosen at once. */
class SettingSwitch extends HTMLElement {
  box = /** @type {HTMLInputElement} */ (this.querySelector("input"));

  connectedCallback() {
    const name = /** @type {Setting} */ (this.box.name);
    this.box.checked = isOn(name);
    this.box.addEventListener("change", async () => {
      if (name === "notify" && this.box.checked && !(await mayNotify())) {
        this.box.checked = false;
        tell(text("no-notifications"));
      } else turn(name, this.box.checked);
    });
  }
}

async function mayNotify() {
  return window.Notification?.requestPermission && (await Notification.requestPermission()) === "granted";
}

/** @type {number | undefined} */
let timer;

/** Says it inside the dialog: what is outside of one that is open is heard by nobody.
 * @param {string} words
 */
function tell(words) {
  const place = document.querySelector("[data-saved]");
  if (!place) return;
  place.textContent = words;
  clearTimeout(timer);
  timer = setTimeout(() => (place.textContent = ""), SHOWN_MS);
}

document.addEventListener("setting:saved", () => tell(text("saved")));
customElements.define("setting-switch", SettingSwitch);
