import { sanitise } from './sanitise.js';

const ICONS = [[/comment|mention|reply/, 'mention'], [/order|ship|deliver|parcel/, 'parcel'], [/digest|announce|news|week/, 'horn']];

// itemElement renders an item. Clicks are handled by the device: they bubble.
export function itemElement(item, colours) {
  const element = document.getElementById('item-template').content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  element.dataset.id = item.id;
  find('.item__workflow').textContent = item.workflow;
  avatar(find('.avatar'), item, colours);
  for (const block of item.blocks) {
    if (block.__typename === 'TextBlock') find('.item__body').append(paragraph(block.rendered));
    if (block.__typename === 'MarkdownBlock') find('.item__body').append(sanitise(block.rendered));
    if (block.__typename === 'ButtonSetBlock') find('.item__buttons').append(...block.buttons.map(actionButton));
  }
  find('.item__buttons').hidden = !find('.item__buttons').hasChildNodes();
  const text = find('.item__body').textContent.trim().replace(/\s+/g, ' ');
  find('.item__open').setAttribute('aria-label', text);
  find('.item__more').setAttribute('aria-label', `More: ${text.slice(0, 60)}`);
  const time = find('time');
  time.dateTime = item.createdAt;
  time.title = new Date(item.createdAt).toLocaleString();
  time.textContent = relativeTime(item.createdAt);
  refresh(element, item);
  return element;
}

// refresh shows what marks may have changed.
export function refresh(element, item) {
  element.classList.toggle('is-unread', !item.readAt);
  element.querySelector('.item__unread').hidden = Boolean(item.readAt);
}

// avatarOf shows a person by initials.
export function avatarOf(element, name, colour) {
  element.textContent = name.split(/\s+/).map((word) => word[0]).slice(0, 2).join('').toUpperCase();
  element.style.backgroundColor = colour ?? '';
}

export function relativeTime(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  if (seconds > -45) return 'just now';
  const format = new Intl.RelativeTimeFormat('en', { style: 'narrow' });
  for (const [unit, length, until] of [['minute', 60, 3600], ['hour', 3600, 86400], ['day', 86400, 7 * 86400]]) {
    if (-seconds < until) return format.format(Math.min(-1, Math.round(seconds / length)), unit);
  }
  return new Date(iso).toLocaleDateString('en', { day: 'numeric', month: 'short' });
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.classList.add('icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

function avatar(element, item, colours) {
  const actor = item.actors.at(-1);
  if (actor) return avatarOf(element, actor.name || actor.externalId, colours.get(actor.externalId));
  const [, name] = ICONS.find(([pattern]) => pattern.test(item.workflow)) ?? [null, 'bell'];
  element.classList.add('avatar--icon');
  element.append(icon(name));
}

function paragraph(text) {
  const element = document.createElement('p');
  element.textContent = text;
  return element;
}

function actionButton({ label, action }, index) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = index === 0 ? 'item__action item__action--first' : 'item__action';
  button.dataset.action = action;
  button.textContent = label;
  return button;
}
