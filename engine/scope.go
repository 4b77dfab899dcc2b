package engine

import (
	"time"

	"github.com/belfryhq/belfry"
)

// Scope is what conditions and templates of a run see. Shared between runs: read only.
//
//	data       of the trigger
//	recipient  properties, id and collection of whom the run is for; likewise actor and tenant, nil if there is none
//	workflow   key, name, version, categories
//	run        trigger_id
//	timestamp  when the run was advanced, RFC 3339
type Scope map[string]any

// scope is what all runs of the fan-out see.
func (f *fanOut) scope(v *version, data map[string]any, people map[belfry.RecipientID]*belfry.Recipient, now time.Time) Scope {
	return Scope{
		"data":      data,
		"actor":     party(people[f.actor]),
		"tenant":    party(people[f.tenant]),
		"workflow":  map[string]any{"key": v.Key, "name": v.Definition.Name, "version": v.Number, "categories": anySlice(v.Definition.Categories)},
		"run":       map[string]any{"trigger_id": f.trigger.String()},
		"timestamp": now.Format(time.RFC3339Nano),
	}
}

// with is the scope of one recipient's run.
func (s Scope) with(r *belfry.Recipient) Scope {
	out := make(Scope, len(s)+1)
	for k, v := range s {
		out[k] = v
	}
	out["recipient"] = party(r)
	return out
}

// party is nil, and not an empty map, if there is nobody: {% if actor %} tells the difference.
func party(r *belfry.Recipient) any {
	if r == nil {
		return nil
	}
	return r.Scope()
}

// anySlice makes strings look as if they had been decoded from JSON.
func anySlice(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
