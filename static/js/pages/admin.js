// @ts-check
// Django's boxes for choosing many give the picture before their filter a name, but no role that can have one.
addEventListener("load", () => {
  for (const picture of document.querySelectorAll(".search-label-icon")) picture.setAttribute("role", "img");
});
