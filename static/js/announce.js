// @ts-check

/** Says one sentence to people who hear the page.
 * @param {string} text
 */
export function announce(text) {
  const region = document.querySelector("[data-announcer]");
  if (!region) return;
  // The same words twice are only heard when the region was empty in between.
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}
