// What a device makes of events: `node --test feed_test.mjs`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed } from './demo/feed.js';

const badge = { total: 0, unseen: 0, unread: 0 };
const item = (position, more) => ({ id: `id-${position}`, position, readAt: null, seenAt: null, archivedAt: null, ...more });
const event = (type, position, more) => ({ __typename: type, position, badge, ...more });

// feedOf is a feed at position 5 with the items given, newest first.
function feedOf(items, hasNextPage = false) {
  const feed = new Feed();
  feed.begin({ position: '5', badge, edges: items.map((node) => ({ node })), pageInfo: { hasNextPage, endCursor: 'c' } });
  return feed;
}

const positions = (feed) => feed.items.map((one) => one.position).join(' ');

test('a new item comes first, and a replayed one takes its old place', () => {
  const feed = feedOf([item('4'), item('2')]);
  feed.apply(event('FeedItemUpserted', '6', { item: item('6') }));
  feed.apply(event('FeedItemUpserted', '7', { item: item('2', { readAt: 'now' }) }));
  assert.equal(positions(feed), '6 4 2');
  assert.equal(feed.items[2].readAt, 'now');
});

test('an event that was handled before is dropped, whatever it says', () => {
  const feed = feedOf([item('4')]);
  assert.equal(feed.apply(event('FeedMarkedAll', '5', { as: 'READ', upTo: '4', at: 'now' })), true);
  assert.equal(feed.items[0].readAt, null);
});

test('FeedSynced at the position of the page brings the badge', () => {
  const feed = feedOf([]);
  feed.apply(event('FeedSynced', '5', { badge: { total: 9, unseen: 1, unread: 2 } }));
  assert.equal(feed.badge.unread, 2);
});

test('marking all means items up to its position only', () => {
  const feed = feedOf([item('4'), item('2')]);
  feed.apply(event('FeedMarkedAll', '6', { as: 'READ', upTo: '2', at: 'now' }));
  assert.deepEqual(feed.items.map((one) => one.readAt), [null, 'now']);
  assert.equal(feed.items[1].seenAt, 'now', 'read implies seen');
});

test('which items a filter selected is read again', () => {
  const feed = feedOf([item('4'), item('2')]);
  assert.equal(feed.apply(event('FeedMarkedWhere', '6', { as: 'READ', upTo: '4', at: 'now' })), false);
});

test('archived items leave, also when they are replayed', () => {
  const feed = feedOf([item('4'), item('2')]);
  feed.apply(event('FeedItemsPatched', '6', { ids: ['id-4'], as: 'ARCHIVED', at: 'now' }));
  feed.apply(event('FeedItemUpserted', '7', { item: item('2', { archivedAt: 'now' }) }));
  assert.equal(positions(feed), '');
});

test('removed items leave, by id or up to a position', () => {
  const feed = feedOf([item('4'), item('3'), item('2'), item('1')]);
  feed.apply(event('FeedItemsRemoved', '6', { ids: ['id-3', 'id-9'], upTo: null }));
  assert.equal(positions(feed), '4 2 1');
  feed.apply(event('FeedItemsRemoved', '7', { ids: [], upTo: '2' }));
  assert.equal(positions(feed), '4');
});

test('unseen takes read with it, interacted brings it', () => {
  const feed = feedOf([item('4', { readAt: 'then', seenAt: 'then' })]);
  feed.apply(event('FeedItemsPatched', '6', { ids: ['id-4'], as: 'UNSEEN', at: 'now' }));
  assert.deepEqual([feed.items[0].seenAt, feed.items[0].readAt], [null, null]);
  feed.apply(event('FeedItemsPatched', '7', { ids: ['id-4'], as: 'INTERACTED', at: 'later' }));
  assert.deepEqual([feed.items[0].seenAt, feed.items[0].readAt], ['later', 'later']);
});

test('an item of a page that is not loaded yet waits for its page', () => {
  const feed = feedOf([item('4')], true);
  feed.apply(event('FeedItemUpserted', '6', { item: item('1', { readAt: 'now' }) }));
  assert.equal(positions(feed), '4');
});

test('the page must be read again after a reset, at whatever position, and after un-archiving', () => {
  const feed = feedOf([item('4')]);
  assert.equal(feed.apply(event('FeedReset', '1', { reason: 'UNKNOWN_POSITION' })), false);
  assert.equal(feed.apply(event('FeedItemsPatched', '6', { ids: ['id-3'], as: 'UNARCHIVED', at: 'now' })), false);
});

test('older pages are appended once', () => {
  const feed = feedOf([item('4'), item('2')], true);
  feed.more({ edges: [{ node: item('2') }, { node: item('1') }], pageInfo: { hasNextPage: false, endCursor: 'd' } });
  assert.equal(positions(feed), '4 2 1');
  assert.equal(feed.hasMore, false);
});
