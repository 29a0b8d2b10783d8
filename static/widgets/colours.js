// A colour for each label, the same wherever it stands. They are told apart in light and in dark.

const HUES = [172, 262, 35, 330, 210, 95, 0, 290];

export class Colours {
  #known = new Map();

  of(label) {
    if (!this.#known.has(label)) this.#known.set(label, this.#known.size);
    return HUES[this.#known.get(label) % HUES.length];
  }

  // For what is drawn over a picture: strong, whatever the page's colours.
  strong(label) {
    return `rgb(${this.rgb(label).join(" ")})`;
  }

  rgb(label) {
    const [hue, light, strength] = [this.of(label), 0.5, 0.45];
    const part = (n) => {
      const k = (n + hue / 30) % 12;
      return Math.round(255 * (light - strength * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return [part(0), part(8), part(4)];
  }
}
