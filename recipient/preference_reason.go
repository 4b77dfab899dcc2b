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
// more than four words is one text, as "+CHANNEL RECIPIENT channelTypes.email" (- denies), and all else an object with the
// members of PreferenceReason. As objects the three reasons of a usual message would be half of what is stored of a run.
type PreferenceReasons []PreferenceReason

// short is the text for a reason; false if there is more to it.
func (r *PreferenceReason) short() (string, bool) {
	if r.Detail != "" || r.Until != nil || len(r.Conditions) > 0 {
		return "", false
	}
	sign := "-"
	if r.Allows {
		sign = "+"
	}
	return sign + string(r.Rule) + " " + string(r.Level) + " " + r.Node, true
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
		words := strings.SplitN(text, " ", 3) // a node may have spaces
		if len(words) != 3 || text[0] != '+' && text[0] != '-' {
			return fmt.Errorf("reason %q is not of the form +RULE LEVEL node", text)
		}
		(*r)[i] = PreferenceReason{Rule: belfry.PreferenceRule(words[0][1:]), Level: belfry.PreferenceLevel(words[1]), Node: words[2], Allows: text[0] == '+'}
	}
	return nil
}
