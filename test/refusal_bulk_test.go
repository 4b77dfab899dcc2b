package test

// What is done in the background is done to the caller's own environment alone. These attempts come last: nobody waits for
// what a stranger starts.
var bulkAttempts = []attempt{
	{
		field:       "Subscription.bulkOperationEvents",
		query:       `subscription ($id: ID!) { bulkOperationEvents(operation: $id) { total done failures { error { message } } } }`,
		variables:   func(v *victim) vars { return vars{"id": v.bulkID} },
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.bulkUpsertObjects",
		query:       `mutation { bulkUpsertObjects(input: {objects: [{collection: "projects", id: "p1", name: "Mine"}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkUpsertObjects": {"operation": {"total": 1}}}`,
	},
	{
		field:       "Mutation.bulkDeleteObjects",
		query:       `mutation { bulkDeleteObjects(input: {objects: [{collection: "projects", id: "p1"}, {collection: "$tenants", id: "acme"}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkDeleteObjects": {"operation": {"total": 2}}}`,
	},
	{
		field:       "Mutation.bulkSetPreferences",
		query:       `mutation { bulkSetPreferences(input: {sets: [{user: "ana", preferences: {categories: {x: false}}}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkSetPreferences": {"operation": {"total": 1}}}`,
	},
	{
		field:       "Mutation.bulkSubscribe",
		query:       `mutation { bulkSubscribe(input: {subscriptions: [{object: {collection: "teams", id: "p"}, recipient: {user: "mallory"}}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkSubscribe": {"operation": {"total": 1}}}`,
	},
	{
		field:       "Mutation.bulkUnsubscribe",
		query:       `mutation { bulkUnsubscribe(input: {subscriptions: [{object: {collection: "teams", id: "p"}, recipient: {user: "ana"}}]}) { operation { total } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"bulkUnsubscribe": {"operation": {"total": 1}}}`,
	},
}
