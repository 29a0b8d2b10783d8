// A model's form, the asking, and the drawn answer.

import { made, waitingWords } from "../words.js";
import { ask, Refusal } from "./ask.js";
import { CodeBox } from "./code.js";
import { Form } from "./form.js";
import { Addresses, encoded, mediaIn } from "./media.js";
import { drawn } from "./results.js";
import { tabs } from "./tabs.js";

export class Widget {
  #about;
  #form;
  #running = null;
  #place = part("form-place");
  #button = part("ask");
  #stop = part("stop");
  #words = part("words");
  #progress = part("progress");
  #failure = part("failure");
  #answer = part("answer");
  #addresses = new Addresses();
  #code;
  #asked;

  // `asked` is called when an answer begins and ends.
  constructor(about, asked) {
    this.#about = about;
    this.#asked = asked;
    const forms = about.forms.map((spec) => new Form(spec, () => this.#code?.draw()));
    this.#show(forms[0]);
    this.#code = new CodeBox(about, () => ({ form: this.#form.spec, body: this.#form.body(true) }));
    part("code").append(this.#code.element);
    if (forms.length > 1) {
      const names = forms.map(({ spec }) => spec.title);
      this.#place.before(tabs("What to ask", names, this.#place, (index) => this.#show(forms[index])));
    }
    part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#button.disabled = false;
    part("form").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#ask();
    });
    this.#stop.addEventListener("click", () => this.#running?.abort());
    document.addEventListener("paste", (event) => this.#paste(event));
    // A file that misses its place must not take the page away.
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
  }

  #show(form) {
    this.#form = form;
    this.#place.replaceChildren(form.element);
    this.#code?.draw();
  }

  #paste(event) {
    const file = event.clipboardData?.files[0];
    if (file && this.#form.take(file)) event.preventDefault();
  }

  async #ask() {
    if (this.#running || !this.#form.check()) return;
    const form = this.#form;
    const body = form.body();
    if (this.#isTooLarge(body)) return;
    this.#running = new AbortController();
    this.#busy(true);
    const began = performance.now();
    try {
      const { signal } = this.#running;
      const answer = await ask(this.#about.ask, await encoded(body), { signal, waits: (news) => this.#waits(news) });
      await this.#draw(answer, form, body, (performance.now() - began) / 1000);
    } catch (error) {
      this.#fail(error, form);
    } finally {
      this.#running = null;
      this.#busy(false);
    }
  }

  #isTooLarge(body) {
    const size = mediaIn(body).reduce((sum, medium) => sum + medium.size, 0);
    if (size < this.#about.most) return false;
    const most = ((this.#about.most * 3) / 4 / 2 ** 20).toFixed(0);
    this.#say("", `The files are too large: this server takes about ${most} MB in one request.`);
    return true;
  }

  #busy(isBusy) {
    this.#button.hidden = isBusy;
    this.#stop.hidden = !isBusy;
    // The focus was on the button that is gone now.
    if (document.activeElement === document.body) (isBusy ? this.#stop : this.#button).focus();
    this.#answer.ariaBusy = String(isBusy);
    this.#progress.hidden = true;
    if (isBusy) this.#say("Asking…", "");
    this.#asked();
  }

  #say(words, failure) {
    this.#words.textContent = words;
    this.#failure.textContent = failure;
    this.#failure.hidden = !failure;
  }

  #waits(news) {
    const waits = news.position !== undefined;
    this.#words.textContent = waits ? waitingWords(news) : "Working on it…";
    this.#progress.hidden = !waits || news.progress === null;
    this.#progress.value = news.progress ?? 0;
    this.#asked();
  }

  async #draw({ result, queue_seconds: waited }, form, body, seconds) {
    const addresses = new Addresses();
    const element = await drawn(result, { form: form.spec, body, addresses });
    this.#addresses.release();
    this.#addresses = addresses;
    this.#answer.replaceChildren(element);
    const wait = waited >= 0.1 ? `, ${waited.toFixed(1)} s of it waiting` : "";
    this.#say(`Answered in ${seconds.toFixed(2)} s${wait}.`, "");
  }

  #fail(error, form) {
    if (error.name === "AbortError") return this.#say("Stopped.", "");
    const known = error instanceof Refusal;
    this.#say("", known ? error.message : "The answer could not be shown.");
    if (!known) throw error;
    form.blame(error.param, error.message);
  }
}

function part(id) {
  return document.getElementById(id);
}
