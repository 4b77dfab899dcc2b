package test

// Who is subscribed to what, and who belongs to which audience, is for the backend of that environment alone. These attempts
// come before the others, while a stranger has no users of the same names.
var peopleAttempts = []attempt{
	{
		field:       "Query.subscribers",
		query:       `{ subscribers(collection: "teams", id: "p") { edges { node { subscriber { id } properties } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"subscribers": {"edges": []}}`,
	},
	{
		field:       "Query.subscriptions",
		query:       `{ subscriptions(collection: "$users", id: "ana") { edges { node { object { id } properties } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"subscriptions": {"edges": []}}`,
	},
	{
		field:       "Query.audience",
		query:       `{ audience(key: "vips") { name members { edges { node { user } } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"audience": null}`,
	},
	{
		field:       "Query.audiences",
		query:       `{ audiences { edges { node { key name } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"audiences": {"edges": []}}`,
	},
	{
		field: "Mutation.unsubscribeFromObject",
		query: `mutation { unsubscribeFromObject(input: {object: {collection: "teams", id: "p"}, recipients: [{user: "ana"}]}) {
			results { recipient { id } error { code } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"unsubscribeFromObject": {"results": [{"recipient": {"id": "ana"}, "error": {"code": "NOT_FOUND"}}]}}`,
	},
	{
		field: "Mutation.subscribeToObject", // a user of the other environment to an object that it has, too
		query: `mutation { subscribeToObject(input: {object: {collection: "teams", id: "p"}, recipients: [{user: "ana"}, {user: "mallory"}]}) {
			results { recipient { id } error { code } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"subscribeToObject": {"results": [{"recipient": {"id": "ana"}, "error": {"code": "NOT_FOUND"}}, {"recipient": {"id": "mallory"}, "error": null}]}}`,
	},
	{
		field:       "Mutation.deleteAudience",
		query:       `mutation { deleteAudience(input: {key: "vips"}) { key } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.addAudienceMembers",
		query:       `mutation { addAudienceMembers(input: {audience: "vips", users: [{user: "mallory"}]}) { results { error { code } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.removeAudienceMembers",
		query:       `mutation { removeAudienceMembers(input: {audience: "vips", users: ["ana"]}) { results { error { code } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  "NOT_FOUND",
	},
	{
		field:       "Mutation.upsertAudience",
		query:       `mutation { upsertAudience(input: {key: "vips", name: "Mine"}) { audience { name members { edges { node { user } } } } } }`,
		byColleague: "FORBIDDEN",
		byStranger:  `{"upsertAudience": {"audience": {"name": "Mine", "members": {"edges": []}}}}`,
	},
}
