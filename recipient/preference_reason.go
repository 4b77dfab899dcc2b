package recipient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
)

// PreferenceReason is a node that had a say.
type PreferenceReason struct {
	Rule       belfry.PreferenceRule  `json:"rule"`
	Level      belfry.PreferenceLevel `json:"level,omitempty"`  // whose set; empty: the workflow says so
	Node       string                 `json:"node,omitempty"`   // path in the set, such as categories.news.channelTypes.email
	Allows     bool                   `json:"allows,omitempty"` // one that doesn't is enough to deny
	Detail     string                 `json:"detail,omitempty"` // why its condition can't be evaluated
	Until      *time.Time             `json:"until,omitempty"`  // mutes and quiet hours; nil: for good
	Conditions []condition.Evaluated  `json:"conditions,omitempty"`
}

// PreferenceReasons are every node that had a say in a decision. Runs store them as JSON, with each message: a reason that is no
// more than rule, level and node is one short text, as "+R channelTypes.email", and all else an object with the members of
// PreferenceReason. As objects the three reasons of a usual message would be half of what is stored of a run.
//
// The text is + (allows) or - (denies), a letter for the level (R the recipient's set, P theirs for the tenant, T the tenant's, E the
// environment's; none: the workflow says so), the rule if the node doesn't tell it, and the node.
type PreferenceReasons []PreferenceReason

var levelLetters = map[belfry.PreferenceLevel]string{belfry.RecipientLevel: "R", belfry.RecipientTenantLevel: "P", belfry.TenantLevel: "T", belfry.EnvironmentLevel: "E", "": ""}

// ruleOf is the rule of nodes in most sections.
func ruleOf(node string) belfry.PreferenceRule {
	switch section, _, _ := strings.Cut(node, "."); section {
	case "channelTypes", "channels":
		return belfry.ChannelRule
	case "workflows":
		return belfry.WorkflowRule
	case "categories":
		return belfry.CategoryRule
	}
	return ""
}

// short is the text for a reason; false if there is more to it.
func (r *PreferenceReason) short() (string, bool) {
	level, known := levelLetters[r.Level]
	if r.Detail != "" || r.Until != nil || len(r.Conditions) > 0 || !known {
		return "", false
	}
	text := "-"
	if r.Allows {
		text = "+"
	}
	if text += level + " "; r.Rule != ruleOf(r.Node) {
		text += string(r.Rule) + " "
	}
	return text + r.Node, true
}

// parseShort reads such a text.
func parseShort(text string) (r PreferenceReason, ok bool) {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return r, false
	}
	r.Allows = text[0] == '+'
	letter, rest, ok := strings.Cut(text[1:], " ")
	if !ok {
		return r, false
	}
	known := false
	for level, l := range levelLetters {
		if l == letter {
			r.Level, known = level, true
		}
	}
	if r.Node, r.Rule = rest, ruleOf(rest); r.Rule == "" {
		var rule string
		if rule, r.Node, ok = strings.Cut(rest, " "); !ok {
			return r, false
		}
		r.Rule = belfry.PreferenceRule(rule)
	}
	return r, known && r.Rule != ""
}

// MarshalJSON writes what runs store.
func (r PreferenceReasons) MarshalJSON() ([]byte, error) {
	stored := make([]any, len(r))
	for i := range r {
		if text, ok := r[i].short(); ok {
			stored[i] = text
		} else {
			stored[i] = &r[i]
		}
	}
	return json.Marshal(stored)
}

// UnmarshalJSON reads what runs store. In old rows all of them are objects.
func (r *PreferenceReasons) UnmarshalJSON(b []byte) error {
	var stored []json.RawMessage
	if err := json.Unmarshal(b, &stored); err != nil {
		return err
	}
	*r = make(PreferenceReasons, len(stored))
	for i, one := range stored {
		if !bytes.HasPrefix(one, []byte(`"`)) {
			if err := json.Unmarshal(one, &(*r)[i]); err != nil {
				return err
			}
			continue
		}
		var text string
		if err := json.Unmarshal(one, &text); err != nil {
			return err
		}
		reason, ok := parseShort(text)
		if !ok {
			return fmt.Errorf("reason %q is not of the form +R node", text)
		}
		(*r)[i] = reason
	}
	return nil
}
