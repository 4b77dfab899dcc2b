package engine

import (
	"maps"
	"time"

	"github.com/belfryhq/belfry"
)

// Scope is what conditions and templates of a run see. Shared between runs: read only, but for the top level of a run's
// own.
//
//	data              of the trigger, with what the run's steps added; after a batch merged from its activities
//	recipient         properties, id and collection of whom the run is for; likewise actor and tenant, nil if there is none
//	vars              the environment's variables; branding of the tenant; and manage_preferences_url and, of commercial
//	                  workflows, commercial_unsubscribe_url, if a template names them
//	workflow          key, id, name, version, categories, commercial, override_preferences, cancellation_key
//	run               trigger_id, total_activities, total_actors
//	refs              what became of steps: see Ref
//	activities        what a batch gathered: id, data and its keys, actor, recipient, inserted_at
//	total_activities  how many there are, beyond those that are shown; likewise actors and total_actors
//	timestamp         when the run was advanced, RFC 3339
type Scope map[string]any

// scope is what all runs of a trigger see.
func (t *trigger) scope(v *version, people map[belfry.RecipientID]*belfry.Recipient, vars map[string]any, now time.Time) Scope {
	actor := party(people[t.actor])
	actors := []any{}
	if actor != nil {
		actors = []any{actor}
	}
	return Scope{
		"data":   t.data,
		"actor":  actor,
		"tenant": party(people[t.tenant]),
		"vars":   t.variables(v, vars, people[t.tenant]),
		"workflow": map[string]any{"key": v.Key, "id": v.Key, "name": v.Definition.Name, "version": v.Number,
			"categories": anySlice(v.Definition.Categories), "commercial": v.Definition.Settings.Commercial,
			"override_preferences": v.Definition.Settings.OverridePreferences, "cancellation_key": t.cancellationKey},
		"run":              map[string]any{"trigger_id": t.id.String(), "total_activities": 1, "total_actors": len(actors)},
		"refs":             map[string]any{},
		"actors":           actors,
		"total_activities": 1,
		"total_actors":     len(actors),
		"timestamp":        now.Format(time.RFC3339Nano),
	}
}

// with is the scope of one recipient's run.
func (s Scope) with(r *belfry.Recipient) Scope {
	out := maps.Clone(s) // copies memory, not entry by entry
	out["recipient"] = party(r)
	return out
}

// refer sets what conditions see of a step. The map that runs share is replaced by the run's own.
func (s Scope) refer(step string, v map[string]any) {
	refs, _ := s["refs"].(map[string]any)
	own := make(map[string]any, len(refs)+1)
	maps.Copy(own, refs)
	own[step] = v
	s["refs"] = own
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
