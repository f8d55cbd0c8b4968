// Render what Sphinx marked as mathematics, and nothing else: a dollar sign in a text stays one.
document.addEventListener("DOMContentLoaded", () => {
  const delimiters = [
    { left: "\\(", right: "\\)", display: false },
    { left: "\\[", right: "\\]", display: true },
  ];
  for (const element of document.querySelectorAll(".math")) {
    renderMathInElement(element, { delimiters, throwOnError: false });
  }
});
