// @ts-check

/** What this browser remembers of how its reader likes the page, until they say something else. */
const DEFAULTS = { "ctrl-enter": false, notify: false, shortcuts: true, wrap: false };

/** @typedef {keyof typeof DEFAULTS} Setting */

/** @param {Setting} name */
export function isOn(name) {
  const kept = localStorage.getItem(`setting:${name}`);
  return kept ? kept === "on" : DEFAULTS[name];
}

/** The document hears `setting:saved` with the name.
 * @param {Setting} name @param {boolean} on
 */
export function turn(name, on) {
  localStorage.setItem(`setting:${name}`, on ? "on" : "off");
  document.documentElement.toggleAttribute(`data-${name}`, on);
  document.dispatchEvent(new CustomEvent("setting:saved", { detail: name }));
}
