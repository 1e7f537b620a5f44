// @ts-check

const PAUSE_MS = 2000;

/** Goes on to where the person wanted to be as soon as the server answers. */
async function tryAgain() {
  const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!answer?.ok) setTimeout(tryAgain, PAUSE_MS * (1 + Math.random())); // not everybody at the same moment
  else if (location.pathname === "/offline/") location.replace("/");
  else location.reload();
}

setTimeout(tryAgain, PAUSE_MS);
