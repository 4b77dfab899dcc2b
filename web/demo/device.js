import { avatarOf, itemElement, refresh, relativeTime } from './item.js';
import { openItemMenu } from './menu.js';
import { Session } from './session.js';

const SEEN_AFTER = 900; // ms that an item must be on the screen
const BANNER_FOR = 4500; // ms
const calm = matchMedia('(prefers-reduced-motion: reduce)');

// Device is the frame on the page: it draws a session's feed and turns clicks into marks.
export class Device {
  element; session = null; name;
  #find; #api; #config; #onArrival; #user; #rows = new Map(); #open = true; #unread = null; #seenTimer = 0; #bannerTimer = 0;

  // kind is laptop or phone. onArrival(item, at) is called for each item that comes while the device is live.
  constructor(kind, name, api, config, onArrival) {
    [this.name, this.#api, this.#config, this.#onArrival] = [name, api, config, onArrival];
    this.element = document.getElementById('device-template').content.firstElementChild.cloneNode(true);
    this.element.classList.add(`device--${kind}`);
    this.element.dataset.device = kind;
    this.element.setAttribute('aria-label', name);
    this.#find = (selector) => this.element.querySelector(selector);
    this.#find('h2').textContent = name;
    this.#find('.panel__scroll').setAttribute('aria-label', `Notifications on the ${name.toLowerCase()}`);
    this.#find('.bell').onclick = () => this.#toggle();
    this.#find('.device__plug').onclick = () => this.#plug();
    this.#find('.mark-all').onclick = () => this.#markAll('READ');
    this.#find('.older').onclick = () => this.#attempt(() => this.session.loadMore());
    this.#find('.items').onclick = (event) => this.#clicked(event);
    document.addEventListener('visibilitychange', () => this.#noticeSeen());
  }

  show(user) {
    this.session?.close();
    this.#user = user;
    this.#unread = null;
    this.#rows.clear();
    this.#find('.items').replaceChildren();
    this.#find('.banner').hidden = true;
    this.#find('.app__hello').textContent = `Hello, ${user.name.split(' ')[0]}`;
    avatarOf(this.#find('.app__bar .avatar'), user.name, user.avatarColor);
    this.session = new Session(this.#api, this.#config.endpoint, user.id, {
      changed: (feed) => this.#draw(feed),
      arrived: (item, at, live) => this.#arrived(item, at, live),
      stateChanged: (state, detail) => this.#drawState(state, detail),
    });
  }

  tick() {
    for (const time of this.element.querySelectorAll('time')) time.textContent = relativeTime(time.dateTime);
  }

  #draw(feed) {
    this.#drawItems(feed);
    this.#drawBadge(feed.badge);
    this.#find('.older').hidden = !feed.hasMore;
    this.#find('.empty').hidden = feed.items.length > 0;
    const { unread, unseen, total } = feed.badge;
    this.#find('.numbers').replaceChildren(...figures({ unread, unseen, total }));
    this.#noticeSeen();
  }

  // drawItems touches only the rows whose item changed: items are replaced, never altered, and marks keep the text.
  #drawItems({ items }) {
    const list = this.#find('.items');
    const drawnBefore = this.#rows;
    const colours = new Map(this.#config.users.map((user) => [user.id, user.avatarColor]));
    this.#rows = new Map();
    let next = list.firstElementChild;
    for (const item of items) {
      const known = drawnBefore.get(item.id);
      const sameText = known?.item.blocks === item.blocks;
      const row = sameText ? known.row : itemElement(item, colours);
      if (sameText && known.item !== item) refresh(row, item);
      if (known && !sameText) known.row.replaceWith(row);
      if (known && !sameText && next === known.row) next = row;
      if (!known && next === list.firstElementChild && this.session.state !== 'connecting') row.classList.add('is-arriving');
      if (row === next) next = next.nextElementSibling;
      else list.insertBefore(row, next);
      this.#rows.set(item.id, { item, row });
    }
    for (const [id, { row }] of drawnBefore) if (!this.#rows.has(id)) leave(row);
  }

  #drawBadge({ unread, unseen }) {
    const bell = this.#find('.bell');
    const badge = this.#find('.bell__badge');
    badge.hidden = unread === 0;
    badge.textContent = unread > 99 ? '99+' : unread;
    bell.classList.toggle('is-new', unseen > 0);
    bell.setAttribute('aria-label', `Notifications, ${unread} unread`);
    this.#find('.panel__count').textContent = unread ? `${unread} unread` : 'All read';
    this.#find('.mark-all').disabled = unread === 0;
    if (this.#unread !== null && unread > this.#unread && !calm.matches) {
      bell.querySelector('.icon').animate({ rotate: ['0deg', '16deg', '-13deg', '8deg', '-4deg', '0deg'] }, 700);
      badge.animate({ scale: [1, 1.35, 1] }, { duration: 320, easing: 'ease-out' });
    }
    this.#unread = unread;
  }

  #drawState(state, { wait, replayed, reason } = {}) {
    const text = {
      connecting: 'Connecting', 'catching-up': 'Catching up', live: 'Live', off: 'Offline',
      waiting: `Retrying in ${Math.max(1, Math.round(wait / 1000))} s`,
    }[state];
    const indicator = this.#find('.state');
    indicator.dataset.state = state;
    indicator.title = reason ?? '';
    this.#find('.state__text').textContent = text;
    const plug = this.#find('.device__plug');
    plug.setAttribute('aria-pressed', String(state === 'off'));
    plug.lastElementChild.textContent = state === 'off' ? 'Go online' : 'Go offline';
    this.element.classList.toggle('is-off', state === 'off');
    if (state === 'live' && replayed) this.#banner(`Caught up: ${replayed} missed ${replayed === 1 ? 'event' : 'events'}`);
  }

  #arrived(item, at, live) {
    if (live) this.#onArrival(this, item, at);
    if (!live || this.#open) return;
    const text = document.createElement('div');
    text.append(itemElement(item, new Map()).querySelector('.item__body'));
    this.#banner(text.textContent.trim().replace(/\s+/g, ' '));
  }

  #toggle() {
    this.#open = !this.#open;
    this.element.classList.toggle('is-closed', !this.#open);
    this.#find('.panel').inert = !this.#open;
    this.#find('.bell').setAttribute('aria-expanded', String(this.#open));
    this.#noticeSeen(0);
  }

  #plug() {
    if (this.session.state === 'off') this.session.reconnect();
    else this.session.disconnect();
  }

  // noticeSeen marks as seen what has been on the screen for a moment: up to the position that this device knows, so
  // that nothing that comes meanwhile is swallowed. A little chance in the delay lets one device do it for all.
  #noticeSeen(after = SEEN_AFTER) {
    clearTimeout(this.#seenTimer);
    const worthIt = () => this.#open && !document.hidden && this.session?.state === 'live' && this.session.feed.badge.unseen > 0;
    if (worthIt()) this.#seenTimer = setTimeout(() => worthIt() && this.#markAll('SEEN'), after * (1 + Math.random() / 2));
  }

  #markAll(as) {
    this.#attempt(() => this.session.mark(as, { all: true, upTo: this.session.feed.position }));
  }

  #clicked({ target }) {
    const row = target.closest('.item');
    const entry = row && this.#rows.get(row.dataset.id);
    if (!entry) return;
    const { item } = entry;
    const mark = (as) => this.#attempt(() => this.session.mark(as, { ids: [item.id] }));
    const action = target.closest('[data-action]')?.dataset.action;
    if (target.closest('.item__more')) openItemMenu(target.closest('.item__more'), item, mark);
    else if (action) this.#follow(action, mark);
    else if (target.closest('.item__open')) item.actionUrl ? this.#follow(item.actionUrl, mark) : mark('READ');
  }

  #follow(url, mark) {
    mark('INTERACTED');
    if (this.session.state !== 'off') this.#banner(`Your app would open ${url}`);
  }

  async #attempt(action) {
    try {
      await action();
    } catch (error) {
      this.#banner(`That did not work: ${error.message}`);
    }
  }

  #banner(text) {
    const banner = this.#find('.banner');
    banner.textContent = text;
    banner.hidden = false;
    clearTimeout(this.#bannerTimer);
    this.#bannerTimer = setTimeout(() => { banner.hidden = true; }, BANNER_FOR);
  }
}

function figures(numbers) {
  return Object.entries(numbers).map(([name, value]) => {
    const figure = document.createElement('span');
    figure.dataset.figure = name;
    figure.append(Object.assign(document.createElement('b'), { textContent: value }), ` ${name}`);
    return figure;
  });
}

// leave takes a row away, folding it first where motion is welcome.
async function leave(row) {
  row.inert = true;
  row.removeAttribute('data-id');
  if (!calm.matches) {
    await row.animate({ gridTemplateRows: ['1fr', '0fr'], opacity: [1, 0] }, { duration: 220, easing: 'ease-in', fill: 'forwards' }).finished;
  }
  row.remove();
}
