// graphql-transport-ws spoken by hand: one subscription that is kept up for ever. It reconnects with full jitter, and
// whoever uses it says at each connection what to subscribe to, so that `since` is always the last position handled.
const RETRY_BASE = 500; // ms; doubled with each attempt
const RETRY_MAX = 15_000; // ms
const PROVEN_AFTER = 10_000; // ms a connection must live before the next failure counts as the first
const PING_EVERY = 20_000; // ms
const PONG_WITHIN = 5_000; // ms
const FORBIDDEN = 4403; // the close code for credentials that are wrong or have expired

export class SubscriptionSocket {
  #url; #prepare; #operation; #onNext; #onState;
  #socket = null; #turn = 0; #attempt = 0; #retryTimer = 0; #pinger = 0; #pongTimer = 0; #liveSince = 0;

  // prepare({forbidden}) resolves to the connection_init payload. operation() returns {query, variables}.
  // onNext(data, arrivedAt) gets each result, onState(state, detail) one of connecting, connected, waiting, off.
  constructor(path, { prepare, operation, onNext, onState }) {
    const url = new URL(path, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    [this.#url, this.#prepare, this.#operation, this.#onNext, this.#onState] = [url, prepare, operation, onNext, onState];
    addEventListener('online', () => this.#retryTimer && this.connect());
  }

  async connect(forbidden = false) {
    const turn = this.#abandon();
    this.#onState('connecting');
    let payload;
    try {
      payload = await this.#prepare({ forbidden });
    } catch (error) {
      if (turn === this.#turn) this.#retry(0, error.message);
      return;
    }
    if (turn !== this.#turn) return; // somebody disconnected or reconnected meanwhile
    const socket = this.#socket = new WebSocket(this.#url, 'graphql-transport-ws');
    socket.onopen = () => this.#send({ type: 'connection_init', payload });
    socket.onmessage = ({ data }) => turn === this.#turn && this.#receive(JSON.parse(data), performance.now());
    socket.onclose = ({ code, reason }) => turn === this.#turn && this.#retry(code, reason);
  }

  disconnect() {
    this.#abandon();
    this.#onState('off');
  }

  // abandon forgets the present connection: nothing of it is listened to any more.
  #abandon() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#pongTimer);
    clearInterval(this.#pinger);
    this.#socket?.close(1000);
    this.#socket = null;
    this.#retryTimer = 0;
    return ++this.#turn;
  }

  #retry(code, reason) {
    if (this.#liveSince && performance.now() - this.#liveSince > PROVEN_AFTER) this.#attempt = 0;
    this.#liveSince = 0;
    this.#abandon();
    const wait = Math.random() * Math.min(RETRY_MAX, RETRY_BASE * 2 ** this.#attempt++);
    this.#retryTimer = setTimeout(() => this.connect(code === FORBIDDEN), wait);
    this.#onState('waiting', { wait, code, reason });
  }

  #receive(message, arrivedAt) {
    switch (message.type) {
      case 'connection_ack':
        this.#liveSince = arrivedAt;
        this.#pinger = setInterval(() => this.#ping(), PING_EVERY);
        this.#onState('connected');
        return this.#send({ id: 'feed', type: 'subscribe', payload: this.#operation() });
      case 'next':
        if (message.payload.errors) return this.#retry(0, message.payload.errors[0].message);
        return this.#onNext(message.payload.data, arrivedAt);
      case 'error': return this.#retry(0, message.payload[0]?.message);
      case 'complete': return this.#retry(0, 'the server ended the subscription');
      case 'ping': return this.#send({ type: 'pong' });
      case 'pong': return clearTimeout(this.#pongTimer);
    }
  }

  #ping() {
    this.#send({ type: 'ping' });
    this.#pongTimer = setTimeout(() => this.#retry(0, 'the server fell silent'), PONG_WITHIN);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
