import { API } from './api.js';
import { Feed } from './feed.js';
import { FEED_EVENTS, FEED_PAGE, MARK_ITEMS } from './operations.js';
import { SubscriptionSocket } from './socket.js';

const PAGE = 15; // items

// Session is one device of one user: its own feed, kept current by its own WebSocket.
export class Session {
  feed = new Feed();
  state = 'connecting'; // connecting, catching-up, live, waiting, off
  #api; #user; #socket; #renew = 0; #handled = Promise.resolve(); #replayed = 0; #listener;

  // listener: changed(feed), arrived(item, at), stateChanged(state, detail)
  constructor(api, endpoint, user, listener) {
    [this.#api, this.#user, this.#listener] = [api, user, listener];
    this.#socket = new SubscriptionSocket(endpoint, {
      prepare: (why) => this.#prepare(why),
      operation: () => ({ query: FEED_EVENTS, variables: { since: this.feed.position } }),
      onNext: (data, at) => this.#enqueue(data.feedEvents, at),
      onState: (state, detail) => this.#setState(state === 'connected' ? 'catching-up' : state, detail),
    });
    this.#socket.connect();
  }

  close() {
    this.#listener = {};
    this.disconnect();
  }

  disconnect() {
    clearTimeout(this.#renew);
    this.#socket.disconnect();
  }

  reconnect() {
    this.#socket.connect();
  }

  // mark only asks for the change. What the device shows changes when the event comes.
  mark(as, which) {
    if (this.state === 'off') throw new Error('this device is offline');
    return this.#api.asUser(this.#user, MARK_ITEMS, { input: { as, ...which } });
  }

  async loadMore() {
    const { feed } = await this.#api.asUser(this.#user, FEED_PAGE, { first: PAGE, after: this.feed.endCursor });
    this.feed.more(feed.items);
    this.#listener.changed?.(this.feed);
  }

  async #prepare({ forbidden }) {
    if (forbidden) this.#api.forgetToken(this.#user);
    const token = await this.#api.token(this.#user);
    clearTimeout(this.#renew); // a connection must not outlive its token
    this.#renew = setTimeout(() => this.#socket.connect(), Math.min(API.renewIn(token), 2 ** 31 - 1));
    await this.#handled; // so that `since` is the last position that came
    if (this.feed.position === null) await this.#load();
    return this.#api.initPayload(this.#user);
  }

  async #load() {
    const { feed } = await this.#api.asUser(this.#user, FEED_PAGE, { first: PAGE });
    this.feed.begin(feed.items);
    this.#listener.changed?.(this.feed);
  }

  // Events are handled one after the other: while the page is read again, those that follow wait.
  #enqueue(event, at) {
    this.#handled = this.#handled.then(() => this.#handle(event, at)).catch(() => {
      this.feed.position = null; // reading again failed: begin anew
      this.#socket.connect();
    });
  }

  async #handle(event, at) {
    const live = this.state === 'live';
    const isNew = event.position > this.feed.position;
    if (!this.feed.apply(event)) await this.#load();
    if (event.__typename === 'FeedItemUpserted' && isNew) this.#listener.arrived?.(event.item, at, live);
    if (isNew && !live) this.#replayed++;
    this.#listener.changed?.(this.feed);
    if (event.__typename === 'FeedSynced' || event.__typename === 'FeedReset') { // what follows either is live
      this.#setState('live', { replayed: this.#replayed });
      this.#replayed = 0;
    }
  }

  #setState(state, detail) {
    this.state = state;
    this.#listener.stateChanged?.(state, detail);
  }
}
