// @ts-check

const LEAVE_PX = 3;
const REJOIN_PX = 24;
const JUMP_SHOWN_PX = 200;
const JUMP_HIDDEN_PX = 60;

/** Keeps a scrolling element at its end while text grows, until the reader scrolls up. */
export class ScrollFollower {
  isFollowing = true;
  #last = 0;
  #lowest = 0;

  /** @param {HTMLElement} element what scrolls @param {HTMLElement} jump the button that leads to the end */
  constructor(element, jump) {
    this.element = element;
    this.jump = jump;
    element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // The wheel speaks before the scroll event does: text that comes in between must not pull the view back.
    element.addEventListener("wheel", (event) => event.deltaY < -LEAVE_PX && this.#leave(), { passive: true });
    jump.addEventListener("click", () => this.toEnd(true));
  }

  get distance() {
    return this.element.scrollHeight - this.element.clientHeight - this.element.scrollTop;
  }

  /** Goes to the end and follows from there on. */
  toEnd(isSmooth = false) {
    this.isFollowing = true;
    const isAnimated = isSmooth && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.element.scrollTo({ top: this.element.scrollHeight, behavior: isAnimated ? "smooth" : "instant" });
    this.#settle();
  }

  /** Text has grown. */
  grown() {
    if (this.isFollowing) {
      this.element.scrollTop = this.element.scrollHeight;
      this.#settle();
    }
    this.#offerJump();
  }

  #settle() {
    this.#last = this.#lowest = this.element.scrollTop;
  }

  #leave() {
    if (this.element.scrollHeight > this.element.clientHeight + LEAVE_PX) this.isFollowing = false;
  }

  #scrolled() {
    const { scrollTop } = this.element;
    const distance = this.distance;
    // Text that shrank moves the view up too, but leaves it at the end.
    if (scrollTop < this.#lowest - LEAVE_PX && distance > LEAVE_PX) this.isFollowing = false;
    else if (scrollTop > this.#last && distance <= REJOIN_PX) this.isFollowing = true;
    this.#last = scrollTop;
    if (this.isFollowing) this.#lowest = Math.max(scrollTop, distance <= LEAVE_PX ? 0 : this.#lowest);
    this.#offerJump();
  }

  #offerJump() {
    const distance = this.distance;
    if (distance > JUMP_SHOWN_PX) this.jump.hidden = false;
    else if (distance < JUMP_HIDDEN_PX) this.jump.hidden = true;
  }
}
