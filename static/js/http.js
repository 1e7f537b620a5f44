// @ts-check

/** Sends a form the way the page does: with the CSRF token, and asking for a fragment instead of a page.
 * @param {string} url
 * @param {Record<string, string>} fields
 * @returns {Promise<Response>} rejects when no answer came
 */
export function post(url, fields = {}) {
  const token = /** @type {HTMLInputElement} */ (document.querySelector("[name=csrfmiddlewaretoken]")).value;
  return fetch(url, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { ...AS_FRAGMENT, "X-CSRFToken": token },
    signal: AbortSignal.timeout(20_000),
  });
}

/** Fetches a fragment of the page.
 * @param {string} url
 */
export function get(url) {
  return fetch(url, { headers: AS_FRAGMENT, signal: AbortSignal.timeout(20_000) });
}

/** Goes to sign-in and comes back to this page afterwards. */
export function signIn() {
  const next = encodeURIComponent(location.pathname);
  location.assign(`/accounts/login/?next=${next}&ended`);
}

/** A version 4 UUID; crypto.randomUUID does not exist on plain HTTP, where a team may well run this.
 * @returns {string}
 */
export function clientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** What an answer says to a person.
 * @param {string} html
 */
export function wordsOf(html) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  return (body.querySelector("[data-words]") ?? body).textContent?.trim() ?? "";
}

const AS_FRAGMENT = { "HX-Request": "true", Accept: "text/html" };
