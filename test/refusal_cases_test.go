package test

// attempt is a call for something of the victim's that the caller must not have. Every field of the schema's Query,
// Mutation and Subscription has at least one: a new field without any fails TestEveryFieldRefuses. They are made in this
// order: after the mutations that succeed for a stranger, that environment has things of the same names.
type attempt struct {
	field     string // Query.node
	query     string
	variables func(*victim) vars

	// What others get: an error code, or the data, in which $items is the list of the victim's item ids.
	byColleague string // another user of the same environment, with her own token
	byStranger  string // the backend of another environment
}

var attempts = []attempt{
	{
		field: "Query.node",
		query: `query ($user: ID!, $version: ID!, $trigger: ID!, $item: ID!) {
			user: node(id: $user) { ...all } version: node(id: $version) { ...all }
			trigger: node(id: $trigger) { ...all } item: node(id: $item) { ...all } }
			fragment all on Node { id
				... on User { userName: name properties } ... on WorkflowVersion { name steps }
				... on Trigger { data } ... on FeedItem { blocks { ... on TextBlock { content } } } }`,
		variables: func(v *victim) vars {
			return vars{"user": v.userID, "version": v.versionID, "trigger": v.triggerID, "item": v.itemIDs[0]}
		},
		byColleague: `{"user": null, "version": null, "trigger": null, "item": null}`,
		byStranger:  `{"user": null, "version": null, "trigger": null, "item": null}`,
	},
	{
		field:       "Query.me",
		query:       `{ me { externalId name } }`,
		byColleague: `{"me": {"externalId": "mallory", "name": null}}`,
		byStranger:  "FORBIDDEN",
	},
	{
		field:       "Query.user",
		query:       `{ user(id: "ana") { id name properties } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"user": null}`,
	},
	{
		field:       "Query.workflow",
		query:       `{ workflow(key: "private", number: 1) { name steps } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"workflow": null}`,
	},
	{
		field:       "Query.feed",
		query:       `{ feed(ref: {user: "ana"}) { user badge { total } items { badge { total } edges { node { id blocks { ... on TextBlock { content } } } } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"feed": {"user": "ana", "badge": {"total": 0}, "items": {"badge": {"total": 0}, "edges": []}}}`,
	},
	{
		field: "Mutation.triggerWorkflow",
		// The very request that the victim made, so that its idempotency key would replay the victim's answer.
		query:       `mutation ($input: TriggerWorkflowInput!) { triggerWorkflow(input: $input) { replayed trigger { id data } } }`,
		variables:   func(v *victim) vars { return vars{"input": v.trigger} },
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.identifyUser",
		query:       `mutation { identifyUser(input: {id: "ana", email: "mallory@example.com"}) { user { externalId name properties } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"identifyUser": {"user": {"externalId": "ana", "name": null, "properties": {}}}}`,
	},
	{
		field: "Mutation.upsertWorkflow",
		query: `mutation { upsertWorkflow(input: {key: "private", name: "Mine", steps: [{ref: "inbox", inApp: {body: "mine"}}]}) {
			workflow { number name } problems { message } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertWorkflow": {"workflow": {"number": 1, "name": "Mine"}, "problems": []}}`,
	},
	{
		field:       "Mutation.markItems", // in the victim's feed
		query:       `mutation ($ids: [ID!]) { markItems(input: {feed: {user: "ana"}, as: READ, ids: $ids}) { changed notFound badge { total } } }`,
		variables:   func(v *victim) vars { return vars{"ids": v.itemIDs} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"markItems": {"changed": 0, "notFound": $items, "badge": {"total": 0}}}`,
	},
	{
		field:       "Mutation.markItems", // all of it
		query:       `mutation { markItems(input: {feed: {user: "ana"}, as: ARCHIVED, all: true}) { changed badge { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"markItems": {"changed": 0, "badge": {"total": 0}}}`,
	},
	{
		field:       "Mutation.markItems", // the victim's items, as if they were in the caller's own feed
		query:       `mutation ($ids: [ID!]) { markItems(input: {as: READ, ids: $ids}) { changed notFound badge { total } } }`,
		variables:   func(v *victim) vars { return vars{"ids": v.itemIDs} },
		byColleague: `{"markItems": {"changed": 0, "notFound": $items, "badge": {"total": 0}}}`,
		byStranger:  "INVALID", // a backend has to say whose feed
	},
	{
		field:       "Subscription.feedEvents",
		query:       `subscription { feedEvents(feed: {user: "ana"}) { __typename badge { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"feedEvents": {"__typename": "FeedSynced", "badge": {"total": 0}}}`,
	},
	{
		field: "Subscription.feedEvents", // resuming where the victim is
		query: `subscription ($since: String) { feedEvents(feed: {user: "ana"}, since: $since) {
			__typename badge { total } ... on FeedItemUpserted { item { blocks { ... on TextBlock { content } } } } } }`,
		variables:   func(v *victim) vars { return vars{"since": v.firstPosition} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"feedEvents": {"__typename": "FeedReset", "badge": {"total": 0}}}`,
	},
}
