package web

import (
	"embed"
	"encoding/json"
	"net/http"
)

//go:embed demo
var demoFiles embed.FS

// DemoConfig is what the demo page is told. All of it can be read by whoever loads the page.
type DemoConfig struct {
	Title    string `json:"title"`    // of the page; "Belfry" if empty
	Endpoint string `json:"endpoint"` // path of the GraphQL API, for HTTP and WebSocket alike; "/graphql" if empty

	// TokenEndpoint answers GET ?user=<id> with {"token": "…", "expiresAt": "<RFC 3339>"}; "/demo/token" if empty.
	TokenEndpoint string `json:"tokenEndpoint"`

	// GraphiQL is the path of the GraphiQL page that the demo links to; "/graphiql/" if empty.
	GraphiQL string `json:"graphiql"`

	PublicKey string `json:"publicKey"` // pk_…: what the devices use, with a user's token
	SecretKey string `json:"secretKey"` // sk_…: what the trigger form uses, in the place of a backend. Developers' machines only

	Users     []DemoUser     `json:"users"`     // whose devices can be shown; the first one is at the beginning
	Workflows []DemoWorkflow `json:"workflows"` // what the form can trigger; the first one is at the beginning
}

// DemoUser is somebody whose devices the demo shows.
type DemoUser struct {
	ID          string `json:"id"`          // your own id of the user
	Name        string `json:"name"`        // full name
	AvatarColor string `json:"avatarColor"` // CSS colour behind the initials, dark enough for white letters
}

// DemoWorkflow is a workflow that the form can trigger.
type DemoWorkflow struct {
	Key         string `json:"key"`
	Title       string `json:"title"`
	Description string `json:"description"` // a sentence

	// Data is a JSON object with example data. The form has one field for each of its members, in this order: text,
	// number or checkbox by the type of the example, JSON for anything else.
	Data json.RawMessage `json:"data"`

	// Actor sends another demo user along as who caused it.
	Actor bool `json:"actor,omitempty"`

	// Everyone notifies all demo users, not only the one that is shown.
	Everyone bool `json:"everyone,omitempty"`
}

// Demo serves the demo page and its assets at "/". It panics when there is no user or no workflow, or when a workflow's
// data is not JSON.
func Demo(cfg DemoConfig) http.Handler {
	if len(cfg.Users) == 0 || len(cfg.Workflows) == 0 {
		panic("web: the demo needs a user and a workflow at least")
	}
	if cfg.Title == "" {
		cfg.Title = "Belfry"
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = defaultEndpoint
	}
	if cfg.TokenEndpoint == "" {
		cfg.TokenEndpoint = "/demo/token"
	}
	if cfg.GraphiQL == "" {
		cfg.GraphiQL = "/graphiql/"
	}
	return newPage(demoFiles, []string{"demo"}, cfg, policy{"style-src": "'self'"})
}
