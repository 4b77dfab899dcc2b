// The GraphQL documents that the page sends.
const BADGE = 'badge { total unseen unread }';

const ITEM = `
  id position workflow createdAt seenAt readAt archivedAt actionUrl
  actors { externalId name }
  blocks {
    __typename
    ... on TextBlock { rendered }
    ... on MarkdownBlock { rendered }
    ... on ButtonSetBlock { buttons { label action } }
  }`;

export const FEED_PAGE = `query FeedPage($first: Int!, $after: String) {
  feed {
    items(first: $first, after: $after) {
      position
      ${BADGE}
      pageInfo { hasNextPage endCursor }
      edges { node { ${ITEM} } }
    }
  }
}`;

export const FEED_EVENTS = `subscription FeedEvents($since: String) {
  feedEvents(since: $since) {
    __typename
    position
    ${BADGE}
    ... on FeedItemUpserted { item { ${ITEM} } }
    ... on FeedItemsPatched { ids as at }
    ... on FeedItemsRemoved { ids upTo }
    ... on FeedMarkedAll { as upTo at }
    ... on FeedReset { reason }
  }
}`;

export const MARK_ITEMS = `mutation MarkItems($input: MarkItemsInput!) {
  markItems(input: $input) { changed position }
}`;

export const TRIGGER = `mutation TriggerWorkflow($input: TriggerWorkflowInput!) {
  triggerWorkflow(input: $input) {
    trigger { id acceptedAt }
    rejected { index code message }
  }
}`;
