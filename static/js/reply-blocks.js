// @ts-check

/** @typedef {import("./socket.js").Patch} Patch */

/** One growing part of a reply, drawn block by block: what is finished is never touched again. */
export class ReplyBlocks {
  /** @type {{ element: HTMLElement, html: string, codeLength: number }[]} */
  #blocks = [];
  /** @type {Element | null} */
  #end = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  get isEmpty() {
    return this.#blocks.length === 0;
  }

  /** Draws patches in order.
   * @param {Patch[]} patches
   * @returns {boolean} false when an append does not continue what is here: the reply must be followed from its start
   */
  apply(patches) {
    if (!patches.length) return true;
    this.unmark();
    const fits = patches.every((patch) => (patch.append === undefined ? this.#replace(patch) : this.#append(patch)));
    this.#end = endOf(this.#blocks.at(-1)?.element ?? this.element);
    this.#end.setAttribute("data-end", "");
    return fits;
  }

  /** Leaves the markup as the server has it. */
  unmark() {
    this.#end?.removeAttribute("data-end");
  }

  /** @param {Patch} patch */
  #replace({ i, html = "", code }) {
    const block = this.#block(i);
    // Following again from the start sends what stands here already; a selection in it must survive.
    if (block.html !== html) {
      block.html = html;
      const fresh = document.createElement("template");
      fresh.innerHTML = html;
      renew(block.element, fresh.content);
    }
    if (code !== undefined) {
      block.element.querySelector("code")?.replaceChildren(code);
      block.codeLength = code.length;
    }
    return true;
  }

  /** @param {Patch} patch */
  #append({ i, at, append = "" }) {
    const block = this.#blocks[i];
    const code = block?.element.querySelector("code");
    if (!block || !code || block.codeLength !== at) return false;
    code.append(append);
    block.codeLength += append.length;
    return true;
  }

  /** @param {number} i */
  #block(i) {
    while (this.#blocks.length <= i) {
      if (!this.#blocks.length) this.element.replaceChildren();
      const element = document.createElement("div");
      element.className = "block";
      element.dataset.block = String(this.#blocks.length);
      this.element.append(element);
      this.#blocks.push({ element, html: "", codeLength: 0 });
    }
    return /** @type {{ element: HTMLElement, html: string, codeLength: number }} */ (this.#blocks[i]);
  }
}

/** Where the writing goes on: the last line of text, or the block itself where that ends in none. Selectors for it would
 * be looked at anew for the whole page with every word.
 * @param {Element} block
 */
function endOf(block) {
  let end = block;
  for (let next = block.lastElementChild; next; next = next.lastElementChild) {
    if (next.matches("div, table, blockquote, hr")) return block;
    if (!next.matches("p, h1, h2, h3, h4, h5, h6, ul, ol, li")) break;
    end = next;
  }
  return end;
}

/** Makes what is in `live` the same as what is in `fresh`; what comes before the first difference is not touched,
 * so that a selection in it stays.
 * @param {Node} live @param {Node} fresh
 */
function renew(live, fresh) {
  let old = live.firstChild;
  while (old && fresh.firstChild && old.isEqualNode(fresh.firstChild)) {
    fresh.firstChild.remove();
    old = old.nextSibling;
  }
  const first = fresh.firstChild;
  if (old && first && old.hasChildNodes() && old.cloneNode().isEqualNode(first.cloneNode())) {
    renew(old, first);
    first.remove();
    old = old.nextSibling;
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
  while (fresh.firstChild) live.appendChild(fresh.firstChild);
}

/** The markup inside, as it is without the wrappers of blocks.
 * @param {Element} element
 */
export function contentOf(element) {
  const blocks = element.querySelectorAll(":scope > .block");
  return blocks.length ? Array.from(blocks, (block) => block.innerHTML).join("") : element.innerHTML;
}
