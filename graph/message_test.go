package graph

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
)

const messageFields = `id channel type recipient workflow stepRef categories totalActivities content status providerId sendAt feedItem
	attempts { number outcome provider error }`

type messageData struct {
	ID, Channel, Type, Recipient, Workflow, StepRef, Status string
	Categories                                              []string
	TotalActivities                                         int
	Content                                                 vars
	ProviderID, SendAt, FeedItem                            *string
	Attempts                                                []struct {
		Number            int
		Outcome, Provider string
		Error             *string
	}
}

// message reads a message by its id; nil if the caller sees none.
func (c *caller) message(id string) *messageData {
	c.t.Helper()
	return ask[struct{ Node *messageData }](c, `query ($id: ID!) { node(id: $id) { ... on Message { `+messageFields+` } } }`, vars{"id": id}).Node
}

// deliveries reads the messages of the newest run, by the step that made them.
func (c *caller) deliveries() map[string]*messageData {
	c.t.Helper()
	type steps struct {
		Runs struct {
			Edges []struct {
				Node struct {
					Steps []struct {
						Ref      string
						Delivery *messageData
					}
				}
			}
		}
	}
	out := map[string]*messageData{}
	for _, s := range ask[steps](c, `{ runs(first: 1) { edges { node { steps { ref delivery { `+messageFields+` } } } } } }`, nil).Runs.Edges[0].Node.Steps {
		out[s.Ref] = s.Delivery
	}
	return out
}

func TestMessagesAreReachedFromTheirRunAndByID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	for _, c := range []*caller{c, stranger} { // of the same name: only the environment tells them apart
		ask[any](c, `mutation { identifyUser(input: {id: "ana", email: "ana@example.com", phoneNumber: "+491"}) { user { id } } }`, nil)
	}
	c.store("all", `[{"ref": "mail", "email": {"subject": "Hi", "body": "there", "format": "TEXT"}}, {"ref": "text", "sms": {"body": "x"}},
		{"ref": "inbox", "inApp": {"body": "x", "format": "TEXT"}}]`)
	c.settled(c.trigger(vars{"workflow": "all", "recipients": users("ana")}))
	eventually(t, "mail and text are settled", func() bool {
		got := c.deliveries()
		return got["mail"].Status == "SENT" && got["text"].Status == "UNDELIVERED"
	})
	got := c.deliveries()
	if got["inbox"] != nil {
		t.Errorf("what went straight to the feed is %+v", got["inbox"])
	}
	mail, text := got["mail"], got["text"]
	if mail.Channel != "email" || mail.Type != "EMAIL" || mail.Recipient != "ana" || mail.Workflow != "all" || mail.StepRef != "mail" ||
		mail.TotalActivities != 1 || mail.Content["subject"] != "Hi" || *mail.ProviderID != "parcel" || mail.SendAt != nil || mail.FeedItem != nil ||
		len(mail.Attempts) != 1 || mail.Attempts[0].Provider != "post office" || mail.Attempts[0].Outcome != "SENT" || mail.Attempts[0].Error != nil {
		t.Errorf("mail: %+v", mail)
	}
	if len(text.Attempts) != 1 || text.Attempts[0].Provider != "none" || text.Attempts[0].Error == nil || text.ProviderID != nil {
		t.Errorf("text without a provider: %+v", text)
	}
	for _, m := range []*messageData{mail, text} {
		if diff := cmp.Diff(m, c.message(m.ID)); diff != "" {
			t.Errorf("by its id it is different (-of the run +by id):\n%s", diff)
		}
		if m := stranger.message(m.ID); m != nil {
			t.Errorf("another environment sees %+v", m)
		}
		// What providers say is for backends, also of messages to oneself.
		user := auth.WithViewer(t.Context(), belfry.Viewer{Environment: c.env, User: "ana"})
		if n, err := w.Query().Node(user, m.ID); n != nil || err != nil {
			t.Errorf("a user sees %+v, %v", n, err)
		}
		if n, err := w.Query().Node(t.Context(), m.ID); n != nil || belfry.CodeOf(err) != belfry.Unauthenticated {
			t.Errorf("somebody without a key sees %+v, %v", n, err)
		}
	}
}

func TestMessagesOfASandboxAreKept(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("tell", tell)
	id := c.trigger(vars{"workflow": "tell", "recipients": users("ana"), "settings": vars{"sandbox": true}})
	c.settled(id)
	for ref, m := range c.deliveries() {
		if m == nil || m.Status != "NOT_SENT" || m.Type != "IN_APP" || len(m.Attempts) != 0 || m.FeedItem != nil {
			t.Errorf("%s: %+v", ref, m)
		}
	}
	got := c.call(`query ($id: ID!) { trigger(id: $id) { settings { sandbox skipDelay } } }`, vars{"id": id})
	if string(got.Data) != `{"trigger":{"settings":{"sandbox":true,"skipDelay":false}}}` {
		t.Errorf("%s, %+v", got.Data, got.Errors)
	}
}

func TestAMessageThatWasHeldBackLeadsToItsFeedItem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("ana")
	var windows []vars
	for i := range 7 {
		day := strings.ToLower(time.Now().UTC().AddDate(0, 0, i).Weekday().String())
		windows = append(windows, vars{"day": day, "type": map[bool]string{true: "send", false: "do_not_send"}[i == 3]})
	}
	ask[upserted](c, upsertWorkflow, vars{"input": vars{"key": "later", "name": "later",
		"steps": []vars{{"ref": "inbox", "inApp": vars{"body": "x", "format": "TEXT"}, "sendWindows": windows}}}})
	c.settled(c.trigger(vars{"workflow": "later", "recipients": users("ana")}))
	waiting := c.deliveries()["inbox"]
	if waiting == nil || waiting.Status != "QUEUED" || waiting.SendAt == nil || waiting.FeedItem != nil {
		t.Fatalf("while it waits: %+v", waiting)
	}
	if _, err := w.Engine.Pool.Exec(t.Context(), `UPDATE deliveries SET due_at = $1`, time.Now()); err != nil { // three days pass
		t.Fatal(err)
	}
	eventually(t, "it is in the feed", func() bool { return c.message(waiting.ID).FeedItem != nil })
	moved := c.message(waiting.ID)
	item := ask[struct{ Node struct{ Typename string } }](c, `query ($id: ID!) { node(id: $id) { Typename: __typename } }`, vars{"id": moved.FeedItem})
	if moved.Status != "SENT" || item.Node.Typename != "FeedItem" {
		t.Errorf("%+v is %+v", moved, item)
	}
}
