// A feed as one device knows it: a snapshot, and the events that came after it. Nothing else changes it, not even what
// the device itself sends: that comes back as an event like to every other device.
export class Feed {
  items = []; // newest first, none archived
  badge = { total: 0, unseen: 0, unread: 0 };
  position = null; // the last one handled; null until there is a snapshot
  endCursor = null;
  hasMore = false;

  // begin takes over a page that was read anew.
  begin(page) {
    this.items = [];
    this.position = page.position;
    this.badge = page.badge;
    this.more(page);
  }

  // more appends an older page.
  more({ edges, pageInfo }) {
    const known = new Set(this.items.map((item) => item.id));
    this.items = [...this.items, ...edges.map((edge) => edge.node).filter((item) => !known.has(item.id))];
    this.endCursor = pageInfo.endCursor;
    this.hasMore = pageInfo.hasNextPage;
  }

  // apply returns false when the page has to be read again.
  apply(event) {
    if (event.__typename === 'FeedReset') return false;
    const synced = event.__typename === 'FeedSynced';
    if (synced ? event.position < this.position : event.position <= this.position) return true; // seen before
    this.position = event.position;
    this.badge = event.badge;
    switch (event.__typename) {
      case 'FeedItemUpserted':
        this.#upsert(event.item);
        return true;
      case 'FeedItemsPatched': {
        const ids = new Set(event.ids);
        this.#mark(event, (item) => ids.has(item.id));
        return event.as !== 'UNARCHIVED'; // we don't hold what comes back
      }
      case 'FeedItemsRemoved': {
        const gone = new Set(event.ids);
        this.items = this.items.filter((item) => !gone.has(item.id) && !(event.upTo && item.position <= event.upTo));
        return true;
      }
      case 'FeedMarkedAll':
        this.#mark(event, (item) => item.position <= event.upTo);
        return event.as !== 'UNARCHIVED';
      case 'FeedMarkedWhere': // which items those are, the server knows best
        return false;
    }
    return true;
  }

  #upsert(item) {
    const others = this.items.filter((other) => other.id !== item.id);
    const oldest = others.at(-1);
    const notLoadedYet = this.hasMore && oldest && item.position < oldest.position;
    if (item.archivedAt || notLoadedYet) {
      this.items = others;
      return;
    }
    const at = others.findIndex((other) => other.position < item.position);
    this.items = others.toSpliced(at < 0 ? others.length : at, 0, item);
  }

  #mark({ as, at }, meant) {
    this.items = this.items
      .map((item) => (meant(item) ? { ...item, ...changes(item, as, at) } : item))
      .filter((item) => !item.archivedAt);
  }
}

// changes are what a mark means for an item.
function changes(item, as, at) {
  switch (as) {
    case 'SEEN': return { seenAt: at };
    case 'UNSEEN': return { seenAt: null, readAt: null };
    case 'READ': return { readAt: at, seenAt: item.seenAt ?? at };
    case 'UNREAD': return { readAt: null };
    case 'INTERACTED': return { readAt: item.readAt ?? at, seenAt: item.seenAt ?? at };
    case 'ARCHIVED': return { archivedAt: at };
    default: return {};
  }
}
