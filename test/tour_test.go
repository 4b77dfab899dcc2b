package test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// tour is a customer's installation with two users, of whom Ana has two devices.
type tour struct {
	*testing.T
	node            *node
	env             *environment
	backend, ana    caller
	phone, laptop   *stream
	lastOnLaptop    event
	laptopConnected *socket
}

// comment tells people of a comment on a document, if they are on the pro plan.
var comment = vars{
	"key": "comment", "name": "Comment", "categories": []string{"collaboration"},
	"steps": []vars{{
		"ref": "inbox", "condition": `recipient.plan == "pro" and data.comment != ""`,
		"inApp": vars{
			"body":      "**{{ actor.name }}** on {{ data.document }}: {{ data.comment }}",
			"actionUrl": "/documents/{{ data.id }}",
			"buttons":   []vars{{"label": "Open", "action": "/documents/{{ data.id }}"}},
		},
	}},
}

func TestTheTour(t *testing.T) {
	t.Parallel()
	segment := collect(t, "write-key")
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	run(t, db, "segment", "set", "--environment", "production", "--write-key", "write-key", "--endpoint", segment.URL)
	tour := &tour{T: t, node: n, env: env, backend: env.backend(n), ana: env.user(t, n, "ana")}

	tour.identifiesTwoUsers()
	storeWorkflow(t, tour.backend, comment)
	tour.connectsTwoDevices()
	first := tour.itemArrivesOnBothDevices()
	tour.markOnOneDeviceShowsOnTheOther(first)
	second := tour.markAllSparesWhatCameLater()
	tour.archivedItemsDontCount(first)
	tour.deviceThatComesBackIsToldWhatItMissed()
	tour.positionOfAnotherFeedIsReset()
	tour.segmentLearnsOfIt(segment, first, second)
}

func (t *tour) identifiesTwoUsers() {
	t.Helper()
	for _, u := range []vars{
		{"id": "ana", "name": "Ana Torres", "properties": vars{"plan": "pro"}},
		{"id": "ben", "name": "Ben Okafor", "properties": vars{"plan": "free"}},
	} {
		ask[any](t, t.backend, identifyUser, vars{"input": u})
	}
	me := ask[struct{ ExternalID, Name string }](t, t.ana, `{ me { externalId name } }`, nil)
	if me.ExternalID != "ana" || me.Name != "Ana Torres" {
		t.Errorf("me = %+v", me)
	}
}

func (t *tour) connectsTwoDevices() {
	t.Helper()
	t.laptopConnected = t.ana.connect(t)
	t.phone, t.laptop = t.ana.connect(t).follow(t, ""), t.laptopConnected.follow(t, "")
	for _, device := range []*stream{t.phone, t.laptop} {
		if e := device.expect(t, "FeedSynced"); e.Badge != (badge{}) {
			t.Errorf("an empty feed has the badge %+v", e.Badge)
		}
	}
}

// writes has Ben comment. Both are recipients.
func (t *tour) writes(text string) {
	t.Helper()
	a := ask[accepted](t, t.backend, triggerWorkflow, vars{"input": vars{
		"workflow": "comment", "recipients": users("ana", "ben"), "actor": vars{"user": "ben"},
		"data": vars{"document": "<Plan>", "comment": text, "id": 42}}})
	if a.Trigger.RecipientCount != 2 || len(a.Rejected) > 0 {
		t.Fatalf("accepted = %+v, want both", a)
	}
}

// both reads the next event on both devices, which is the same.
func (t *tour) both(typename string, want badge) event {
	t.Helper()
	e, same := t.phone.expect(t, typename), t.laptop.expect(t, typename)
	if e.Position != same.Position || e.Badge != same.Badge || e.Badge != want {
		t.Errorf("%s: the phone has %s %+v, the laptop %s %+v, want the badge %+v",
			typename, e.Position, e.Badge, same.Position, same.Badge, want)
	}
	t.lastOnLaptop = same
	return e
}

func (t *tour) mark(input vars) marked {
	t.Helper()
	return ask[marked](t, t.ana, markItems, vars{"input": input})
}

func (t *tour) itemArrivesOnBothDevices() item {
	t.Helper()
	t.writes("Looks *good*")
	e := t.both("FeedItemUpserted", badge{1, 1, 1})
	if got, want := e.Item.text(), "<p><strong>Ben Okafor</strong> on &lt;Plan&gt;: Looks"; !strings.HasPrefix(got, want) {
		t.Errorf("the item shows %q, want %q…", got, want)
	}
	if e.Item.ActionURL != "/documents/42" || len(e.Item.Blocks) != 2 || e.Item.Blocks[1].Buttons[0].Label != "Open" ||
		len(e.Item.Actors) != 1 || e.Item.Actors[0].ExternalID != "ben" ||
		time.Since(e.Item.Actors[0].CreatedAt) > time.Hour {
		t.Errorf("the item is %+v", e.Item)
	}
	ben := ask[page](t, t.env.user(t, t.node, "ben"), readFeed, nil)
	if len(ben.Items.Edges) != 0 {
		t.Errorf("Ben isn't on the pro plan, but got %+v", ben.Items.Edges)
	}
	return e.Item
}

func (t *tour) markOnOneDeviceShowsOnTheOther(it item) {
	t.Helper()
	t.mark(vars{"as": "SEEN", "ids": []string{it.ID}})
	t.both("FeedItemsPatched", badge{1, 0, 1})
	result := t.mark(vars{"as": "READ", "ids": []string{it.ID}})
	e := t.both("FeedItemsPatched", badge{1, 0, 0})
	if !slices.Equal(e.IDs, []string{it.ID}) || e.As != "READ" || e.Position != result.Position {
		t.Errorf("the patch is %+v, the mutation said %+v", e, result)
	}
}

func (t *tour) markAllSparesWhatCameLater() (marked item) {
	t.Helper()
	t.writes("second")
	onScreen := t.both("FeedItemUpserted", badge{2, 1, 1})
	t.writes("third")
	t.both("FeedItemUpserted", badge{3, 2, 2})
	result := t.mark(vars{"as": "READ", "all": true, "upTo": onScreen.Position})
	e := t.both("FeedMarkedAll", badge{3, 1, 1})
	if e.UpTo != onScreen.Item.Position || result.Changed != 1 {
		t.Errorf("marked up to %s and %d changed, want %s and 1", e.UpTo, result.Changed, onScreen.Item.Position)
	}
	unread, _ := readAll(t, t.ana, vars{"status": "UNREAD"})
	if len(unread) != 1 || !strings.Contains(unread[0].text(), "third") {
		t.Errorf("unread are %+v, want the third alone", unread)
	}
	return onScreen.Item
}

func (t *tour) archivedItemsDontCount(it item) {
	t.Helper()
	t.mark(vars{"as": "ARCHIVED", "ids": []string{it.ID}})
	t.both("FeedItemsPatched", badge{2, 1, 1})
}

func (t *tour) deviceThatComesBackIsToldWhatItMissed() {
	t.Helper()
	_ = t.laptopConnected.conn.Close()
	t.writes("fourth")
	missed := t.phone.expect(t, "FeedItemUpserted")
	t.mark(vars{"as": "UNARCHIVED", "all": true})
	t.phone.expect(t, "FeedMarkedAll")

	t.laptop = t.ana.connect(t).follow(t, t.lastOnLaptop.Position)
	last := t.lastOnLaptop.Position
	for _, typename := range []string{"FeedItemUpserted", "FeedMarkedAll", "FeedSynced"} {
		e := t.laptop.expect(t, typename)
		if typename == "FeedItemUpserted" && e.Item.ID != missed.Item.ID {
			t.Errorf("missed %s, was told of %s", missed.Item.ID, e.Item.ID)
		}
		if e.Position < last || e.Badge != (badge{4, 2, 2}) {
			t.Errorf("%s at %s with the badge %+v, after %s", typename, e.Position, e.Badge, last)
		}
		last = e.Position
	}
	t.writes("fifth")
	t.both("FeedItemUpserted", badge{5, 3, 3})
}

func (t *tour) positionOfAnotherFeedIsReset() {
	t.Helper()
	storeWorkflow(t, t.backend, simpleWorkflow("note"))
	notify(t, t.backend, "note", "ben", "hello")
	ben := t.env.user(t, t.node, "ben")
	var foreign string
	eventually(t, "Ben's item", func() bool {
		p := ask[page](t, ben, readFeed, nil)
		foreign = p.Items.Position
		return p.Items.Badge.Total == 1
	})
	device := t.ana.connect(t).follow(t, foreign)
	if e := device.expect(t, "FeedReset"); e.Reason != "UNKNOWN_POSITION" || e.Badge != (badge{5, 3, 3}) {
		t.Errorf("the reset is %+v", e)
	}
}

func (t *tour) segmentLearnsOfIt(segment *collector, first, second item) {
	t.Helper()
	t.mark(vars{"as": "INTERACTED", "ids": []string{first.ID, second.ID}})
	for _, row := range []struct {
		item
		want []string
	}{
		{first, []string{"Notification sent", "Notification seen", "Notification read", "Notification archived", "Notification unarchived", "Notification interacted"}},
		{second, []string{"Notification sent", "Notification read", "Notification interacted"}}, // read by a mark on everything
	} {
		var got []string
		eventually(t, "Segment has the events of an item", func() bool {
			got = nil
			for _, e := range segment.accepted() {
				if e.Properties["messageId"] == row.ID && e.UserID == "ana" && e.Properties["environment"] == "production" {
					got = append(got, e.Event)
				}
			}
			return slices.Contains(got, "Notification interacted")
		})
		if !slices.Equal(got, row.want) {
			t.Errorf("Segment has %q, want %q", got, row.want)
		}
	}
	seen := make(map[string]bool)
	for _, e := range segment.accepted() {
		if seen[e.MessageID] {
			t.Errorf("two accepted events have the messageId %s", e.MessageID)
		}
		seen[e.MessageID] = true
	}
	if len(segment.lost()) == 0 {
		t.Error("the first request was empty")
	}
	for _, e := range segment.lost() {
		if !seen[e.MessageID] {
			t.Errorf("the event %s came with messageId %s at first, and never again", e.Event, e.MessageID)
		}
	}
}
