// The menu of an item: one popover that all items share. The browser closes it on Escape and on clicks elsewhere.
const menu = document.getElementById('item-menu');
let choose = () => {};
let anchor = null;
let openedAt = 0; // where the anchor was, in pixels from the top

menu.addEventListener('click', ({ target }) => {
  const mark = target.closest('[data-mark]')?.dataset.mark;
  if (!mark) return;
  menu.hidePopover();
  choose(mark);
});

menu.addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const entries = [...menu.querySelectorAll('button:not([hidden])')];
  entries.at((entries.indexOf(document.activeElement) + step) % entries.length).focus();
});

// openItemMenu shows the menu at the button, with what can be done to the item.
export function openItemMenu(button, item, mark) {
  choose = mark;
  anchor = button;
  menu.querySelector('[data-mark=READ]').hidden = Boolean(item.readAt);
  menu.querySelector('[data-mark=UNREAD]').hidden = !item.readAt;
  menu.showPopover();
  const at = button.getBoundingClientRect();
  openedAt = at.top;
  const { offsetWidth, offsetHeight } = menu;
  const fitsBelow = at.bottom + offsetHeight + 8 < innerHeight;
  menu.style.left = `${Math.max(8, at.right - offsetWidth)}px`;
  menu.style.top = `${fitsBelow ? at.bottom + 4 : at.top - offsetHeight - 4}px`;
  menu.querySelector('button:not([hidden])').focus();
}

// A menu that no longer stands at its button would lie.
addEventListener('scroll', () => {
  if (anchor?.getBoundingClientRect().top !== openedAt) menu.hidePopover();
}, { capture: true, passive: true });
