// @ts-check

// A service worker keeps the page that says that the server is not to be reached. On plain HTTP there is none.
if (isSecureContext && navigator.serviceWorker) {
  const { lang } = document.documentElement;
  addEventListener("load", () => navigator.serviceWorker.register(`/worker.js?language=${lang}`).catch(() => null));
}
