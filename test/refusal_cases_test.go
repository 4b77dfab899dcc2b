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
		query: `query ($user: ID!, $object: ID!, $tenant: ID!, $version: ID!, $trigger: ID!, $item: ID!) {
			user: node(id: $user) { ...all } object: node(id: $object) { ...all } tenant: node(id: $tenant) { ...all } version: node(id: $version) { ...all }
			trigger: node(id: $trigger) { ...all } item: node(id: $item) { ...all } }
			fragment all on Node { id
				... on Recipient { recipientName: name properties channelData { push { devices { token } } } } ... on WorkflowVersion { name steps }
				... on Trigger { data } ... on FeedItem { blocks { ... on TextBlock { content } } } }`,
		variables: func(v *victim) vars {
			return vars{"user": v.userID, "object": v.objectID, "tenant": v.tenantID, "version": v.versionID, "trigger": v.triggerID, "item": v.itemIDs[0]}
		},
		byColleague: `{"user": null, "object": null, "tenant": null, "version": null, "trigger": null, "item": null}`,
		byStranger:  `{"user": null, "object": null, "tenant": null, "version": null, "trigger": null, "item": null}`,
	},
	{
		field:       "Query.me",
		query:       `{ me { externalId name } }`,
		byColleague: `{"me": {"externalId": "mallory", "name": null}}`,
		byStranger:  "FORBIDDEN",
	},
	{
		field:       "Query.objects",
		query:       `{ objects(collection: "projects") { edges { node { id name properties } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"objects": {"edges": []}}`,
	},
	{
		field:       "Query.explainPreference",
		query:       `{ explainPreference(input: {user: "ana", workflow: "private", channel: "in-app", channelType: IN_APP}) { allowed because { node } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Query.defaultPreferences",
		query:       `{ defaultPreferences { categories } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"defaultPreferences": null}`,
	},
	{
		field:       "Query.preferenceCenter",
		query:       `{ preferenceCenter(user: "ana") { rows { key label } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"preferenceCenter": {"rows": [{"key": null, "label": "All messages"}]}}`,
	},
	{
		field:       "Mutation.deletePreferences",
		query:       `mutation { deletePreferences(input: {user: "ana"}) { deleted } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.deleteDefaultPreferences",
		query:       `mutation { deleteDefaultPreferences(input: {}) { deleted } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"deleteDefaultPreferences": {"deleted": false}}`,
	},
	{
		field:       "Mutation.setDefaultPreferences",
		query:       `mutation { setDefaultPreferences(input: {preferences: {categories: {x: true}}}) { preferences { categories } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setDefaultPreferences": {"preferences": {"categories": {"x": true}}}}`,
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
		field:       "Query.trigger",
		query:       `query ($id: ID!) { trigger(id: $id) { data progress { done } runs { edges { node { id } } } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.triggerID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"trigger": null}`,
	},
	{
		field:       "Query.run",
		query:       `query ($id: ID!) { run(id: $id) { recipient { name } steps { ref } trigger { data } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.runID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"run": null}`,
	},
	{
		field:       "Query.workflows",
		query:       `{ workflows { edges { node { key name steps } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"workflows": {"edges": []}}`,
	},
	{
		field:       "Query.runs",
		query:       `{ runs { edges { node { recipient { name } trigger { data } } } } ofWorkflow: runs(filter: {workflow: "private"}) { edges { cursor } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"runs": {"edges": []}, "ofWorkflow": {"edges": []}}`,
	},
	{
		field:       "Query.schedule",
		query:       `query ($id: ID!) { schedule(id: $id) { data } }`,
		variables:   func(v *victim) vars { return vars{"id": v.scheduleID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"schedule": null}`,
	},
	{
		field:       "Query.schedules",
		query:       `{ schedules { edges { node { data recipient { name } } } } ofWorkflow: schedules(filter: {workflow: "private"}) { edges { cursor } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"schedules": {"edges": []}, "ofWorkflow": {"edges": []}}`,
	},
	{
		field:       "Query.partials",
		query:       `{ partials { key source } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"partials": []}`,
	},
	{
		field:       "Query.variables",
		query:       `{ variables { name value } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"variables": []}`,
	},
	{
		field:       "Query.previewTemplate", // of the victim's user
		query:       `{ previewTemplate(input: {template: "{{ recipient.name }}", recipient: "ana"}) { rendered } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Query.previewTemplate", // with the victim's variables and partials
		query:       `{ vars: previewTemplate(input: {template: "<{{ vars.secret }}>", format: TEXT}) { rendered } partial: previewTemplate(input: {template: "{% render 'footer' %}"}) { rendered } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"vars": {"rendered": "<>"}, "partial": {"rendered": null}}`,
	},
	{
		field:       "Query.users",
		query:       `{ users(first: 2) { edges { node { externalId name properties channelData { push { devices { token } } } } } } byMail: users(filter: {name: "marker"}) { edges { cursor } } }`,
		byColleague: "FORBIDDEN",
		byStranger: `{"users": {"edges": [{"node": {"externalId": "mallory", "name": null, "properties": {}, "channelData": []}},
			{"node": {"externalId": "someone", "name": null, "properties": {}, "channelData": []}}]}, "byMail": {"edges": []}}`,
	},
	{
		field:       "Query.profileFields",
		query:       `{ profileFields }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"profileFields": ["NAME", "AVATAR", "LOCALE", "TIMEZONE"]}`,
	},
	{
		field:       "Query.object",
		query:       `{ object(collection: "projects", id: "p1") { id name properties } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"object": null}`,
	},
	{
		field:       "Query.tenant",
		query:       `{ tenant(id: "acme") { id name properties branding { logoUrl } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"tenant": null}`,
	},
	{
		field:       "Query.tenants",
		query:       `{ tenants { edges { node { id name } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"tenants": {"edges": []}}`,
	},
	{
		field:       "Mutation.unsetChannelData",
		query:       `mutation { unsetChannelData(input: {recipient: {user: "ana"}, channel: "ios"}) { removed } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"unsetChannelData": {"removed": false}}`,
	},
	{
		field:       "Mutation.mergeUsers",
		query:       `mutation { mergeUsers(input: {into: "mallory", from: "zoe"}) { user { name } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.setProfileFields",
		query:       `mutation { setProfileFields(input: {fields: []}) { fields } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setProfileFields": {"fields": []}}`,
	},
	{
		field:       "Mutation.deleteObject",
		query:       `mutation { deleteObject(input: {collection: "projects", id: "p1"}) { deleted } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"deleteObject": {"deleted": false}}`,
	},
	{
		field:       "Mutation.upsertObject",
		query:       `mutation { upsertObject(input: {collection: "projects", id: "p1"}) { object { name properties } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertObject": {"object": {"name": null, "properties": {}}}}`,
	},
	{
		field:       "Mutation.upsertObjects",
		query:       `mutation { upsertObjects(input: {objects: [{collection: "projects", id: "p1"}]}) { results { object { name } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertObjects": {"results": [{"object": {"name": null}}]}}`,
	},
	{
		field:       "Mutation.deleteTenant",
		query:       `mutation { deleteTenant(input: {id: "acme"}) { deleted } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"deleteTenant": {"deleted": false}}`,
	},
	{
		field:       "Mutation.upsertTenant",
		query:       `mutation { upsertTenant(input: {id: "acme"}) { tenant { name properties branding { logoUrl } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertTenant": {"tenant": {"name": null, "properties": {}, "branding": {"logoUrl": null}}}}`,
	},
	{
		field:       "Mutation.deleteUser",
		query:       `mutation { deleteUser(input: {id: "zoe"}) { deleted } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"deleteUser": {"deleted": false}}`,
	},
	{
		field:       "Query.bulkOperation",
		query:       `query ($id: ID!) { bulkOperation(id: $id) { total done failures { error { message } } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.bulkID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkOperation": null}`,
	},
	{
		field:       "Mutation.bulkDeleteUsers",
		query:       `mutation { bulkDeleteUsers(input: {ids: ["zoe"]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkDeleteUsers": {"operation": {"total": 1}}}`,
	},
	{
		field:       "Mutation.bulkIdentifyUsers",
		query:       `mutation { bulkIdentifyUsers(input: {users: [{id: "zoe"}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkIdentifyUsers": {"operation": {"total": 1}}}`,
	},
	{
		field:       "Query.convertCondition", // says nothing of anybody
		query:       `{ convertCondition(input: {expression: "data.a == \"b\""}) { exact } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"convertCondition": {"exact": true}}`,
	},
	{
		field:       "Mutation.triggerWorkflows",
		query:       `mutation ($input: TriggerWorkflowInput!) { triggerWorkflows(input: {triggers: [$input]}) { results { replayed trigger { id data } error { code } } } }`,
		variables:   func(v *victim) vars { return vars{"input": v.trigger} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"triggerWorkflows": {"results": [{"replayed": false, "trigger": null, "error": {"code": "NOT_FOUND"}}]}}`,
	},
	{
		field:       "Mutation.sendEvent",
		query:       `mutation { sendEvent(input: {user: "ana", event: "paid"}) { event } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.validateWorkflow",
		query:       `mutation { validateWorkflow(input: {key: "private", name: "Mine", steps: [{ref: "inbox", inApp: {body: "{% render 'footer' %}"}}]}) { problems { path } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"validateWorkflow": {"problems": [{"path": "steps[0].inApp.body"}]}}`,
	},
	{
		field:       "Mutation.testWorkflow",
		query:       `mutation { testWorkflow(input: {workflow: "private", recipient: {user: "ana"}}) { run { messages { content } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.createSchedules",
		query:       `mutation { createSchedules(input: {schedules: [{workflow: "private", recipient: {user: "ana"}, rules: [{frequency: daily}]}]}) { results { error { code } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"createSchedules": {"results": [{"error": {"code": "NOT_FOUND"}}]}}`,
	},
	{
		field:       "Mutation.updateSchedules",
		query:       `mutation ($id: ID!) { updateSchedules(input: {ids: [$id], paused: true}) { results { schedule { data } error { code } } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.scheduleID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"updateSchedules": {"results": [{"schedule": null, "error": {"code": "NOT_FOUND"}}]}}`,
	},
	{
		field:       "Mutation.deleteSchedules",
		query:       `mutation ($id: ID!) { deleteSchedules(input: {ids: [$id]}) { deleted } }`,
		variables:   func(v *victim) vars { return vars{"id": v.scheduleID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"deleteSchedules": {"deleted": 0}}`,
	},
	{
		field:       "Mutation.setPartial",
		query:       `mutation { setPartial(input: {key: "footer", source: ""}) { partial { key } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setPartial": {"partial": null}}`,
	},
	{
		field:       "Mutation.setVariable",
		query:       `mutation { setVariable(input: {name: "secret", value: "mine"}) { variable { value } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setVariable": {"variable": {"value": "mine"}}}`,
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
		field:       "Mutation.setChannelData",
		query:       `mutation { setChannelData(input: {recipient: {user: "ana"}, channel: "ios", push: {tokens: ["mine"]}}) { channelData { push { devices { token } } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setChannelData": {"channelData": {"push": {"devices": [{"token": "mine"}]}}}}`,
	},
	{
		field: "Mutation.upsertWorkflow",
		query: `mutation { upsertWorkflow(input: {key: "private", name: "Mine", steps: [{ref: "inbox", inApp: {body: "mine"}}]}) {
			workflow { number name } problems { message } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertWorkflow": {"workflow": {"number": 1, "name": "Mine"}, "problems": []}}`,
	},
	{
		field:       "Mutation.setWorkflowActive",
		query:       `mutation { setWorkflowActive(input: {key: "private", active: false}) { workflow { name active } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setWorkflowActive": {"workflow": {"name": "Mine", "active": false}}}`,
	},
	{
		field:       "Mutation.cancelTriggers", // by the victim's key
		query:       `mutation { cancelTriggers(input: {workflow: "private", cancellationKey: "order-1"}) { cancelled alreadyFinished } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"cancelTriggers": {"cancelled": 0, "alreadyFinished": 0}}`,
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
		field:       "Mutation.markItems", // a part of it
		query:       `mutation { markItems(input: {feed: {user: "ana"}, as: ARCHIVED, all: true, filter: {workflows: ["private"], tenant: {scope: EXACT}}}) { changed badge { total } } }`,
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
		field:       "Query.feed", // counted
		query:       `{ feed(ref: {user: "ana"}) { counts(views: [{name: "a"}, {name: "b", filter: {workflows: ["private"]}}, {name: "c", filter: {tenant: {scope: EXACT}}}]) { name total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"feed": {"counts": [{"name": "a", "total": 0}, {"name": "b", "total": 0}, {"name": "c", "total": 0}]}}`,
	},
	{
		field:       "Subscription.badge",
		query:       `subscription { badge(feed: {user: "ana"}) { badge { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"badge": {"badge": {"total": 0}}}`,
	},
	{
		field:       "Subscription.feedEvents", // a part of them
		query:       `subscription { feedEvents(feed: {user: "ana"}, filter: {workflows: ["private"]}) { __typename badge { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"feedEvents": {"__typename": "FeedSynced", "badge": {"total": 0}}}`,
	},
	{
		field:       "Query.feedOperation",
		query:       `query ($id: ID!) { feedOperation(id: $id) { resourceKey items } }`,
		variables:   func(v *victim) vars { return vars{"id": v.feedOpID} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"feedOperation": null}`,
	},
	{
		field:       "Mutation.retractItems",
		query:       `mutation ($ids: [ID!]) { retractItems(input: {where: {ids: $ids}}) { removed notFound } }`,
		variables:   func(v *victim) vars { return vars{"ids": v.itemIDs} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"retractItems": {"removed": 0, "notFound": $items}}`,
	},
	{
		field:       "Query.feedRetention",
		query:       `{ feedRetention { maxItems } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"feedRetention": {"maxItems": null}}`,
	},
	{
		field:       "Mutation.setFeedRetention",
		query:       `mutation { setFeedRetention(input: {channel: "theirs", maxItems: 10}) { retention { maxItems } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setFeedRetention": {"retention": {"maxItems": 10}}}`,
	},
	{
		field:       "Mutation.snoozeItems",
		query:       `mutation ($ids: [ID!]!) { snoozeItems(input: {feed: {user: "ana"}, ids: $ids}) { changed notFound } }`,
		variables:   func(v *victim) vars { return vars{"ids": v.itemIDs} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"snoozeItems": {"changed": 0, "notFound": $items}}`,
	},
	{
		field:       "Mutation.snoozeItems", // those are the victim's
		query:       `mutation ($ids: [ID!]!) { snoozeItems(input: {ids: $ids}) { changed notFound } }`,
		variables:   func(v *victim) vars { return vars{"ids": v.itemIDs} },
		byColleague: `{"snoozeItems": {"changed": 0, "notFound": $items}}`,
		byStranger:  "INVALID", // a backend has to say whose feed
	},
	{
		field:       "Mutation.updateItem",
		query:       `mutation ($id: ID) { updateItem(input: {feed: {user: "ana"}, id: $id, body: "mine"}) { item { id } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.itemIDs[0]} },
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.resolveResource",
		query:       `mutation ($m: String!) { resolveResource(input: {resourceKey: $m, as: READ}) { operation { feeds items } } }`,
		variables:   func(*victim) vars { return vars{"m": marker} },
		byColleague: "FORBIDDEN",
		byStranger:  `{"resolveResource": {"operation": {"feeds": 0, "items": 0}}}`,
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
	{
		field:       "Subscription.runEvents",
		query:       `subscription ($id: ID!) { runEvents(run: $id) { status steps { ref } recipient { name } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.runID} },
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.setPreferences",
		query:       `mutation { setPreferences(input: {user: "ana", strategy: MERGE, preferences: {categories: {x: true}}}) { preferences { categories } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"setPreferences": {"preferences": {"categories": {"x": true}}}}`,
	},
}
