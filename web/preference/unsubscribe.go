package preference

import (
	"net/http"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// leaving is the page on which somebody unsubscribes.
type leaving struct {
	From  string // name of the tenant; empty: none
	What  string // the category or workflow; empty: all advertising
	State string // one of those below
}

// States of the page.
const (
	asks   = "asks"   // whether to unsubscribe
	left   = "left"   // there is nothing to do, but to undo it
	undone = "undone" // and back again
	kept   = "kept"   // the tenant sends it all the same
)

// unsubscribe shows the page, and does what its buttons and mail programs ask for.
func (h *handler) unsubscribe(w http.ResponseWriter, r *http.Request, token string) (*view, error) {
	link, err := h.open(r, token, true)
	if err != nil {
		return nil, err
	}
	topic := topicOf(&link.Link)
	undo := false
	if r.Method == http.MethodPost {
		if err := form(w, r, maxUnsubscribeBody); err != nil {
			return nil, err
		}
		switch undo = r.PostForm.Get("undo") == "1"; {
		case undo, r.PostForm.Get("List-Unsubscribe") == "One-Click":
		default:
			return nil, belfry.Errorf(belfry.Invalid, "to unsubscribe, send List-Unsubscribe=One-Click")
		}
	}
	on := undo
	err = h.inTurn(r, func() (err error) {
		if r.Method == http.MethodPost {
			if err := h.Recipients.Choose(r.Context(), link, []recipient.PreferenceWish{{Rule: topic.Rule, Key: topic.Key, On: undo}}); err != nil {
				return err
			}
		}
		topic.Label = h.label(r, link, topic)
		now, err := h.holds(r, link, topic)
		switch {
		case err == nil:
			on = now
		case r.Method == http.MethodPost: // it is done, whatever else goes wrong: whoever asked must not be told otherwise
			h.Log.Error("what holds after somebody's choice can't be read", "error", err)
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v := &view{Brand: brandOf(link.For), name: "leaving"}
	content := leaving{From: v.Brand.Name, What: topic.Label}
	switch {
	case !on:
		content.State, v.Title = left, "You are unsubscribed"
	case r.Method != http.MethodPost:
		content.State, v.Title = asks, "Unsubscribe"
	case undo:
		content.State, v.Title = undone, "You are subscribed again"
	default:
		content.State, v.Title = kept, "Your wish is stored"
	}
	v.Content = content
	return v, nil
}

// holds is whether somebody gets any of what a link leaves.
func (h *handler) holds(r *http.Request, link *recipient.OpenedLink, topic recipient.PreferenceTopic) (bool, error) {
	sets, err := h.Recipients.Center(r.Context(), link)
	if err != nil {
		return false, err
	}
	return sets.Rows([]recipient.PreferenceTopic{topic}, nil)[0].On, nil
}

// label is what people call what a link leaves; empty: all advertising. A workflow whose name can't be read goes by its key.
func (h *handler) label(r *http.Request, link *recipient.OpenedLink, topic recipient.PreferenceTopic) string {
	if topic.Rule != belfry.WorkflowRule {
		return topic.Key
	}
	names, err := h.WorkflowNames(r.Context(), link.Environment, []string{topic.Key})
	if err != nil {
		h.Log.Error("the name of a workflow can't be read; the page shows its key", "error", err)
	}
	if name := names[topic.Key]; name != "" {
		return name
	}
	return topic.Key
}

// topicOf is what a link leaves.
func topicOf(l *recipient.Link) recipient.PreferenceTopic {
	switch l.Purpose {
	case recipient.LeaveCategory:
		return recipient.PreferenceTopic{Rule: belfry.CategoryRule, Key: l.Key}
	case recipient.LeaveWorkflow:
		return recipient.PreferenceTopic{Rule: belfry.WorkflowRule, Key: l.Key}
	}
	return recipient.PreferenceTopic{Rule: belfry.CommercialRule}
}
