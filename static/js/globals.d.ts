interface HTMLElementEventMap {
  "htmx:afterSwap": CustomEvent;
}

declare const htmx: {
  ajax(verb: string, path: string, context: { target: string; swap: string }): Promise<void>;
};
