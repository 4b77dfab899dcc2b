package condition

import (
	"maps"
	"slices"
	"time"
)

// AudiencesKey is where a [Scope] has a [Membership]. No condition can look at it by itself.
const AudiencesKey = "$audiences"

// Membership says whether the scope's recipient belongs to an audience, by its key, at an instant. recipient is that of the
// scope as it is now: a step may have changed it.
type Membership func(recipient map[string]any, audience string, now time.Time) bool

// compileMembership makes is_audience_member and its negation. Nobody belongs to an audience that there is not, and without
// a Membership in the scope nobody to any.
func (c check) compileMembership() (func(*evaluation) (bool, error), *Error) {
	key, ok := c.argument.fixed.(string)
	if c.argument.written != "" && !ok { // a key of digits looks like a number
		key, ok = c.argument.written, true
	}
	if c.argument.dynamic != nil || !ok || key == "" {
		return nil, at(c.where+".argument", "%s needs the key of an audience", c.operator)
	}
	if c.variable.String() != "recipient.id" {
		return nil, at(c.where+".variable", "%s is about the recipient: the variable is recipient.id", c.operator)
	}
	wanted := c.operator == "is_audience_member"
	return func(e *evaluation) (bool, error) {
		is, _ := e.scope[AudiencesKey].(Membership)
		person, _ := e.scope["recipient"].(map[string]any)
		return (is != nil && is(person, key, e.now)) == wanted, e.spend(1)
	}, nil
}

// Audiences are the keys of the audiences that the condition asks for, sorted.
func (c *Condition) Audiences() []string {
	keys := map[string]bool{}
	for _, check := range c.checks {
		if slices.Contains(membership, check.operator) {
			key, ok := check.argument.fixed.(string)
			if !ok {
				key = check.argument.written
			}
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}
