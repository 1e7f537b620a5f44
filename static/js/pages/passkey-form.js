// @ts-check

/** `<passkey-form data-kind="create|get">` around a form with a field "credential": asks the device for a passkey, and
 * sends what it answers. It stays hidden where there can be none. What the device is asked is in a script element
 * `#passkey-options`, or at the address in data-options.
 */
class PasskeyForm extends HTMLElement {
  form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
  said = /** @type {HTMLElement} */ (this.querySelector("[role=alert]"));

  connectedCallback() {
    if (!canHavePasskeys()) return;
    this.hidden = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
  }

  async ask() {
    this.said.textContent = "";
    try {
      const field = /** @type {HTMLInputElement} */ (this.form.elements.namedItem("credential"));
      field.value = JSON.stringify(await answer(await this.options(), this.dataset.kind === "create"));
    } catch {
      this.said.textContent = this.dataset.failed ?? "";
      return;
    }
    this.form.submit();
  }

  async options() {
    const address = this.dataset.options;
    if (!address) return JSON.parse(document.querySelector("#passkey-options")?.textContent ?? "");
    const response = await fetch(address, { headers: { "X-Requested-With": "XMLHttpRequest" } });
    return (await response.json()).request_options;
  }
}

/** An address of digits has no passkeys, nor has a page that is not secure. */
function canHavePasskeys() {
  return (
    /[a-z]/i.test(location.hostname) && typeof window.PublicKeyCredential?.parseRequestOptionsFromJSON === "function"
  );
}

/** @param {{ publicKey: any }} options @param {boolean} isNew */
async function answer({ publicKey }, isNew) {
  if (!isNew) {
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  }
  // Kept on the device where that can be, so that it may stand in for the password too.
  publicKey.authenticatorSelection = { ...publicKey.authenticatorSelection, residentKey: "preferred" };
  return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
}

customElements.define("passkey-form", PasskeyForm);
