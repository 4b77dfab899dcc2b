package web

import (
	"embed"
	"encoding/json"
	"net/http"
)

//go:embed graphiql/index.html graphiql/icon.svg graphiql/dist
var graphiqlFiles embed.FS

// GraphiQLConfig is what the GraphiQL page is told. All of it can be read by whoever loads the page.
type GraphiQLConfig struct {
	Title    string `json:"title"`    // of the page; "Belfry GraphiQL" if empty
	Endpoint string `json:"endpoint"` // path of the GraphQL API, for HTTP and WebSocket alike; "/graphql" if empty
	Home     string `json:"home"`     // where the title leads; the page itself if empty

	// Headers fill the headers editor of every new tab. Subscriptions send the same as connection_init payload.
	Headers map[string]string `json:"headers,omitempty"`

	// Tabs are open at the beginning of every visit. Without any, the page remembers those of the last visit.
	Tabs []GraphiQLTab `json:"tabs,omitempty"`
}

// GraphiQLTab is an operation to begin with. Its title is the operation's name.
type GraphiQLTab struct {
	Query     string          `json:"query"`
	Variables json.RawMessage `json:"variables,omitempty"` // a JSON object; none if empty
}

// GraphiQL serves the GraphiQL page and its assets at "/". It panics when the variables of a tab
// are not JSON.
func GraphiQL(cfg GraphiQLConfig) http.Handler {
	if cfg.Title == "" {
		cfg.Title = "Belfry GraphiQL"
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = defaultEndpoint
	}
	return newPage(graphiqlFiles, []string{"graphiql/dist", "graphiql"}, cfg, policy{
		// GraphiQL's components style themselves at run time, and its fonts are inside its style sheet.
		"style-src": "'self' 'unsafe-inline'",
		"font-src":  "'self' data:",
	})
}

// DemoTabs are the tabs to begin with for somebody who has a secret key: trigger the workflow for the user, read the
// user's feed, and subscribe to it.
func DemoTabs(user string, workflow DemoWorkflow) []GraphiQLTab {
	return []GraphiQLTab{
		{Query: triggerOperation, Variables: variables(map[string]any{
			"input": map[string]any{
				"workflow":   workflow.Key,
				"recipients": []any{map[string]any{"user": user}},
				"data":       workflow.Data,
			},
		})},
		{Query: readOperation, Variables: variables(map[string]any{"user": user})},
		{Query: subscribeOperation, Variables: variables(map[string]any{"user": user})},
	}
}

func variables(v map[string]any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("web: DemoWorkflow.Data must be a JSON object: " + err.Error())
	}
	return b
}

const triggerOperation = `# Your backend tells Belfry what happened.
# Run it, then look at the other tabs.
mutation TriggerWorkflow($input: TriggerWorkflowInput!) {
  triggerWorkflow(input: $input) {
    trigger {
      id
      acceptedAt
      recipientCount
      workflow { key number }
    }
    replayed
    rejected { index code message }
  }
}
`

const readOperation = `# A page of a user's feed, newest first,
# with the exact badge of the same instant.
query ReadFeed($user: String!) {
  feed(ref: {user: $user}) {
    items(first: 10) {
      position
      badge { total unseen unread }
      pageInfo { hasNextPage endCursor }
      edges {
        node {
          id
          createdAt
          readAt
          workflow
          blocks {
            ... on TextBlock { name content }
            ... on MarkdownBlock { name content rendered }
            ... on ButtonSetBlock { buttons { label action } }
          }
        }
      }
    }
  }
}
`

const subscribeOperation = `# What happens to the feed from now on. Run it, then
# trigger the workflow, or mark something in the demo.
# With since: "<position>" it first tells what you missed.
subscription FeedEvents($user: String!) {
  feedEvents(feed: {user: $user}) {
    __typename
    position
    badge { total unseen unread }
    ... on FeedItemUpserted {
      item {
        id
        createdAt
        workflow
        blocks {
          ... on TextBlock { content }
          ... on MarkdownBlock { content }
        }
      }
    }
    ... on FeedItemsPatched { ids as at }
    ... on FeedMarkedAll { as upTo at }
    ... on FeedReset { reason }
  }
}
`
