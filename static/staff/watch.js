// Asks the server how its models are, every two seconds while somebody looks.

const ASK_EVERY = 2000;

// `draw` gets each answer; the element `away` shows while there is none. `query` is added to the address.
export function watch(draw, away, query = "") {
  async function ask() {
    try {
      const response = await fetch(`/staff/live${query}`);
      if (!response.ok) throw new Error(response.statusText);
      draw(await response.json());
      if (away) away.hidden = true;
    } catch {
      if (away) away.hidden = false;
    }
  }

  // One question at a time: a server that is slow to answer is not asked again meanwhile.
  async function again() {
    if (!document.hidden) await ask();
    setTimeout(again, ASK_EVERY);
  }

  document.addEventListener("visibilitychange", () => document.hidden || ask());
  again();
}
