// @ts-check
import { copy } from "./clipboard.js";

/** @type {Record<string, (inside: string, element: Element) => string>} */
const MARKS = {
  A: (inside, element) => `[${inside}](${element.getAttribute("href") ?? ""})`,
  BR: () => "<br>",
  CODE: (inside) => `\`${inside}\``,
  EM: (inside) => `*${inside}*`,
  S: (inside) => `~~${inside}~~`,
  STRONG: (inside) => `**${inside}**`,
};

/** `<table-copy>` around buttons: the table of its block as the value of the button says, CSV or Markdown. */
class TableCopy extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      const table = this.closest(".table")?.querySelector("table");
      if (button && table) copy(button, button.value === "csv" ? csv(table) : markdown(table));
    });
  }
}

/** @param {HTMLTableElement} table */
function csv(table) {
  return rows(table, (cell) => quoted(cell.textContent ?? "")).map((row) => row.join(",")).join("\n");
}

/** @param {string} value */
function quoted(value) {
  return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** @param {HTMLTableElement} table */
function markdown(table) {
  const [head = [], ...body] = rows(table, (cell) => source(cell).replaceAll("|", "\\|"));
  const rule = Array.from(table.rows[0]?.cells ?? [], (cell) => {
    if (cell.classList.contains("cell--right")) return "---:";
    return cell.classList.contains("cell--center") ? ":---:" : "---";
  });
  return [head, rule, ...body].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** @param {HTMLTableElement} table @param {(cell: HTMLTableCellElement) => string} value */
function rows(table, value) {
  return Array.from(table.rows, (row) => Array.from(row.cells, value));
}

/** @param {Node} node @returns {string} the Markdown of what is inside */
function source(node) {
  return Array.from(node.childNodes, (child) => {
    if (!(child instanceof Element)) return (child.textContent ?? "").replaceAll("\n", "");
    const inside = source(child);
    return MARKS[child.tagName]?.(inside, child) ?? inside;
  }).join("");
}

customElements.define("table-copy", TableCopy);
