// Swagger UI over this server's own description. Everything comes from this server.
const docs = document.getElementById("docs");
window.SwaggerUIBundle({
  domNode: docs,
  url: docs.dataset.url,
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  // The default is a badge from a host on the internet.
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
});

// Its dark colours hang on a class, ours on the system's wish or on what was chosen here.
const wish = window.matchMedia("(prefers-color-scheme: dark)");
function dress() {
  const chosen = document.documentElement.dataset.theme;
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : wish.matches);
}
wish.addEventListener("change", dress);
dress();
