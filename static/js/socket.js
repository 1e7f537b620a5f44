// @ts-check

/**
 * @typedef {{ i: number, html?: string, code?: string, at?: number, append?: string }} Patch
 * @typedef {{ type: "reply.status", generation: string, status: string, stage: string, text: string }} StatusFrame
 * @typedef {{ type: "reply.blocks", generation: string, cursor: string, reasoning: Patch[], answer: Patch[] }} BlocksFrame
 * @typedef {{ type: "reply.end", generation: string, status: string, html: string }} EndFrame
 * @typedef {{ type: "reply.closed", generation: string }} ClosedFrame
 * @typedef {StatusFrame | BlocksFrame | EndFrame | ClosedFrame} ReplyFrame
 * @typedef {{ cursor: string, ticket: string, receive: (frame: ReplyFrame) => void }} Follower
 */

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
const SESSION_ENDED = 4401;

/** The page's one websocket: it connects again by itself and takes every followed reply up at its cursor.
 *
 * Events: `open`, `reopen` (hints may have been missed), `close`, `session.ended`, and `conversation.changed` with the conversation's id as detail.
 */
export class PageSocket extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Follower>} */
  #followers = new Map();
  #failures = 0;
  #wasOpen = false;
  /** @type {number | undefined} */
  #retry;
  #isEnded = false;

  connect() {
    if (this.#socket || this.#isEnded) return;
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const language = document.documentElement.lang;
    const socket = new WebSocket(`${scheme}://${location.host}/ws/?language=${language}`);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#closed(event.code);
    };
  }

  /** Drops the connection, which may be dead without knowing it, and tries a new one. */
  reconnect() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#failures = 0;
    this.connect();
  }

  /** Lets go of the connection until `connect()`. */
  disconnect() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.close();
    this.dispatchEvent(new CustomEvent("close", { detail: this.#failures }));
  }

  /** @param {string} generation @param {Follower} follower */
  follow(generation, follower) {
    this.#followers.set(generation, follower);
    this.#send({ type: "reply.follow", generation, after: follower.cursor, ticket: follower.ticket });
  }

  /** @param {string} generation @param {Follower} follower */
  unfollow(generation, follower) {
    if (this.#followers.get(generation) !== follower) return;
    this.#followers.delete(generation);
    this.#send({ type: "reply.unfollow", generation });
  }

  /** Tells the server that a frame is drawn, so that it may send more.
   * @param {string} generation @param {string} cursor
   */
  acknowledge(generation, cursor) {
    this.#send({ type: "reply.ack", generation, cursor });
  }

  #opened() {
    this.#failures = 0;
    for (const [generation, follower] of this.#followers) this.follow(generation, follower);
    this.dispatchEvent(new Event("open"));
    if (this.#wasOpen) this.dispatchEvent(new Event("reopen"));
    this.#wasOpen = true;
  }

  /** @param {number} code */
  #closed(code) {
    this.#socket = null;
    if (code === SESSION_ENDED) {
      this.#end();
      return;
    }
    this.#failures += 1;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    this.#retry = setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
    this.dispatchEvent(new CustomEvent("close", { detail: this.#failures }));
  }

  #end() {
    this.#isEnded = true;
    this.dispatchEvent(new Event("session.ended"));
  }

  /** @param {any} frame */
  #receive(frame) {
    if (frame.type === "session.ended") this.#end();
    else if (frame.type === "conversation.changed")
      this.dispatchEvent(new CustomEvent(frame.type, { detail: frame.conversation }));
    else if (frame.generation) this.#followers.get(frame.generation)?.receive(frame);
  }

  /** @param {Record<string, string>} frame */
  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}

export const socket = new PageSocket();
