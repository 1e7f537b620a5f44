// @ts-check
// Runs before the first paint, so that theme and sidebar never flash.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (localStorage.getItem("sidebar") === "collapsed") root.dataset.sidebar = "collapsed";
  if (localStorage.getItem("setting:wrap") === "on") root.dataset.wrap = "";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.cookie = `timezone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;
})();
