// The search of models: a filter works as soon as it is chosen, and empty ones stay out of the address.

const form = document.getElementById("search");

form.addEventListener("change", ({ target }) => target.matches("select") && form.requestSubmit());
form.addEventListener("submit", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
});
// A page that comes back from the browser's memory can be searched again.
addEventListener("pageshow", () => {
  for (const field of form.elements) field.disabled = false;
});
