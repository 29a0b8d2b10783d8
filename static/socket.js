// The chat websocket. It reconnects by itself, waiting longer after each failure.
// Events: "up", "down" (detail: milliseconds until the next try), "frame" (detail: the frame).

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15000;

export class ChatSocket extends EventTarget {
  #url;
  #socket = null;
  #failures = 0;
  #timer = 0;

  constructor(path) {
    super();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.#url = `${scheme}//${location.host}${path}`;
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
  }

  get isUp() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#socket = new WebSocket(this.#url);
    this.#socket.addEventListener("open", () => this.#opened());
    this.#socket.addEventListener("message", (event) => this.#emit("frame", JSON.parse(event.data)));
    this.#socket.addEventListener("close", () => this.#lost());
  }

  // Whether the frame went out; a browser drops what is sent over a closed socket in silence.
  send(frame) {
    if (!this.isUp) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #opened() {
    this.#failures = 0;
    this.#emit("up");
  }

  #lost() {
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    this.#failures += 1;
    // Scattered, so that a restarted server is not met by every open page in the same moment.
    const scattered = wait * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), scattered);
    this.#emit("down", scattered);
  }

  #retryNow() {
    if (this.#timer) this.connect();
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
