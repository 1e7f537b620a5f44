// @ts-check

/** A sentence of the page in its language, as `<template id="texts">` has it; `{name}` stands for the value of that name.
 * @param {string} name
 * @param {Record<string, string | number>} values
 */
export function text(name, values = {}) {
  const texts = /** @type {HTMLTemplateElement} */ (document.getElementById("texts")).content;
  const words = texts.querySelector(`[data-text="${name}"]`)?.textContent ?? "";
  return words.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}
