package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/web"
	"github.com/belfryhq/belfry/workflow"
)

// The demo environment's keys are known to everybody: belfry serve refuses them.
const (
	demoEnvironment = "demo"
	demoSecretKey   = "sk_demo_belfry"
	demoPublicKey   = "pk_demo_belfry"
	demoSigningKey  = "belfry dev" // name of the signing key that each start makes
	demoTokenTTL    = time.Hour
)

// demo is the demo environment: made, or brought up to date, at each start of belfry dev.
type demo struct {
	private   []byte // signs the tokens of the demo page
	kid       string
	users     []web.DemoUser
	workflows []web.DemoWorkflow
}

func newDemo(ctx context.Context, n *belfryNode) (*demo, error) {
	environment, err := n.auth.EnvironmentByKey(ctx, demoEnvironment)
	if belfry.CodeOf(err) == belfry.NotFound {
		environment, err = n.auth.CreateEnvironment(ctx, demoEnvironment)
	}
	if err != nil {
		return nil, err
	}
	d := &demo{users: []web.DemoUser{
		{ID: "ana", Name: "Ana Torres", AvatarColor: "#7c3aed"},
		{ID: "ben", Name: "Ben Okafor", AvatarColor: "#0f766e"},
	}}
	for kind, key := range map[auth.Kind]string{auth.Secret: demoSecretKey, auth.Public: demoPublicKey} {
		if _, err := n.auth.EnsureDemoKey(ctx, environment.ID, kind, key); err != nil {
			return nil, err
		}
	}
	if err := d.renewSigningKey(ctx, n.auth, environment.ID); err != nil {
		return nil, err
	}
	for _, u := range d.users {
		identity := recipient.Identity{RecipientRef: belfry.User(u.ID), Properties: map[string]any{
			"name": u.Name, "email": u.ID + "@example.com", "timezone": "Europe/Berlin", "plan": "pro"}}
		if _, err := n.people.IdentifyUser(ctx, environment.ID, identity); err != nil {
			return nil, err
		}
	}
	for _, w := range demoWorkflows {
		if _, problems, err := n.engine.Upsert(ctx, environment.ID, w.page.Key, &w.definition); err != nil {
			return nil, err
		} else if len(problems) > 0 {
			return nil, fmt.Errorf("the demo workflow %s: %s: %s", w.page.Key, problems[0].Path, problems[0].Message)
		}
		d.workflows = append(d.workflows, w.page)
	}
	return d, nil
}

// renewSigningKey makes a key pair for this start. The private half lives in this process only; those of earlier starts
// are gone, so their public halves are revoked.
func (d *demo) renewSigningKey(ctx context.Context, service *auth.Service, env belfry.EnvironmentID) error {
	old, err := service.ListSigningKeys(ctx, env)
	if err != nil {
		return err
	}
	for _, key := range old {
		if key.Name == demoSigningKey && key.RevokedAt == nil {
			if _, err := service.RevokeSigningKey(ctx, env, key.ID); err != nil {
				return err
			}
		}
	}
	key, private, err := service.CreateSigningKey(ctx, env, auth.EdDSA, demoSigningKey)
	d.private, d.kid = private, key.KID
	return err
}

// token answers GET /demo/token?user=ana, as a customer's backend would for the user that is signed in.
func (d *demo) token(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	if err := belfry.ValidateExternalID(user, "user"); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	token, err := auth.SignUserToken(d.private, d.kid, user, demoTokenTTL, now)
	if err != nil {
		http.Error(w, "the token could not be signed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expiresAt": now.Add(demoTokenTTL)}) // the page may be gone
}

// browsable is an address that a browser understands, for the one that was listened on.
func browsable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return address
	}
	return net.JoinHostPort("localhost", port)
}

// demoWorkflow is a workflow, and what the form shows of it.
type demoWorkflow struct {
	page       web.DemoWorkflow
	definition workflow.Definition
}

var demoWorkflows = []demoWorkflow{
	{
		page: web.DemoWorkflow{Key: "comment-mention", Title: "Comment", Actor: true,
			Description: "Somebody mentions the user in a comment.",
			Data:        json.RawMessage(`{"document": "Q3 launch plan", "comment": "Can you take the **pricing** section? I would love your eyes on it.", "url": "/documents/42"}`)},
		definition: workflow.Definition{Name: "Comment mention", Categories: []string{"collaboration"}, Steps: []workflow.Step{{
			Ref: "notify", InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown,
				Body:      "**{{ actor.name | default: \"Somebody\" }}** mentioned you in **{{ data.document }}**\n\n> {{ data.comment }}",
				ActionURL: "{{ data.url }}", Buttons: []workflow.Button{{Label: "Reply", Action: "{{ data.url }}"}}}}}},
	},
	{
		page: web.DemoWorkflow{Key: "order-shipped", Title: "Order",
			Description: "An order is on its way. Express orders get a second message: a step with a condition.",
			Data:        json.RawMessage(`{"order": "BF-1042", "items": 3, "total": 128.5, "express": true}`)},
		definition: workflow.Definition{Name: "Order shipped", Categories: []string{"orders"}, Steps: []workflow.Step{
			{Ref: "shipped", InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown,
				Body:      "Order **{{ data.order }}** is on its way: {{ data.items }} {% if data.items == 1 %}item{% else %}items{% endif %}, {{ data.total }} €.",
				ActionURL: "/orders/{{ data.order }}", Data: map[string]any{"order": "{{ data.order }}"},
				Buttons: []workflow.Button{{Label: "Track it", Action: "/orders/{{ data.order }}/track"}, {Label: "Change delivery", Action: "/orders/{{ data.order }}"}}}},
			{Ref: "express", Condition: `data.express == true and recipient.plan == "pro"`, InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown,
				Body: "Because you are on the **{{ recipient.plan }}** plan, {{ data.order }} travels **express** at no charge."}},
		}},
	},
	{
		page: web.DemoWorkflow{Key: "announcement", Title: "Announcement", Everyone: true,
			Description: "One trigger, every user: nobody in particular caused it.",
			Data:        json.RawMessage(`{"title": "Dark mode is here", "text": "Follow the system, or choose for yourself.", "url": "https://example.com/changelog"}`)},
		definition: workflow.Definition{Name: "Announcement", Categories: []string{"product"}, Steps: []workflow.Step{{
			Ref: "announce", InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown,
				Body: "### {{ data.title }}\n\n{{ data.text }}", ActionURL: "{{ data.url }}",
				Buttons: []workflow.Button{{Label: "Read more", Action: "{{ data.url }}"}}}}}},
	},
}
